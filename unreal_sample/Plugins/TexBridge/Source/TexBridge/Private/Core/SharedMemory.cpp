#include "Core/SharedMemory.h"

#include <atomic>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace texbridge {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr size_t kFieldBytes = 40;
constexpr size_t kSlotHeadBytes = 128;

Fault Bad(const std::string& words) { return Fault(kBadFrame, "shared memory: " + words); }

}  // namespace

Fault DecodePage(ByteView bytes, uint64_t file_bytes, MemoryPage& page) {
    if (bytes.size < kFieldBytes) return Bad("a page of " + std::to_string(bytes.size) + " bytes");
    if (!bytes.BeginsWith("TXBS", 4)) return Bad("a file begins with TXBS");
    const uint16_t version = ReadU16(bytes.data + 4);
    if (version != 1) return Bad("version " + std::to_string(version));
    MemoryPage found;
    found.slots = ReadU32(bytes.data + 8);
    found.slot_stride = ReadU32(bytes.data + 12);
    found.capacity = ReadU32(bytes.data + 16);
    found.generation = ReadU32(bytes.data + 20);
    found.nonce = ReadU64(bytes.data + 24);
    found.pid = ReadU64(bytes.data + 32);
    if (found.slots < 4) return Bad(std::to_string(found.slots) + " slots < 4");
    if (found.slot_stride == 0 || found.slot_stride % kPageBytes != 0)
        return Bad("slot_stride " + std::to_string(found.slot_stride) + " is no multiple of 4096");
    if (found.capacity == 0 || found.capacity > found.slot_stride - kSlotHeadBytes)
        return Bad("capacity " + std::to_string(found.capacity) + " is not 1..slot_stride - 128");
    const uint64_t needs = kPageBytes + uint64_t{found.slots} * found.slot_stride;
    if (file_bytes < needs) return Bad("a file of " + std::to_string(file_bytes) + " bytes < " + std::to_string(needs));
    page = found;
    return Fault();
}

void EncodePage(const MemoryPage& page, uint8_t* to) {
    std::memcpy(to, "TXBS", 4);
    WriteU16(to + 4, 1);
    WriteU16(to + 6, 0);
    WriteU32(to + 8, page.slots);
    WriteU32(to + 12, page.slot_stride);
    WriteU32(to + 16, page.capacity);
    WriteU32(to + 20, page.generation);
    WriteU64(to + 24, page.nonce);
    WriteU64(to + 32, page.pid);
}

Fault PlaceDoorbell(const MemoryPage& page, const FrameHeader& bell, SlotPlace& place) {
    if (!bell.Has(kSharedMemory)) return Bad("a frame is no doorbell");
    if (bell.slot >= page.slots) return Bad("slot " + std::to_string(bell.slot) + " of " + std::to_string(page.slots));
    if (bell.payload_bytes > page.capacity)
        return Bad("payload_bytes " + std::to_string(bell.payload_bytes) + " > " + std::to_string(page.capacity));
    if (bell.seq % 2 != 0) return Bad("seq " + std::to_string(bell.seq) + " is odd");
    place.seq_at = kPageBytes + uint64_t{bell.slot} * page.slot_stride;
    place.header_at = place.seq_at + 64;
    place.payload_at = place.seq_at + kSlotHeadBytes;
    return Fault();
}

Fault DecodeSlot(const MemoryPage& page, ByteView bytes, uint64_t& seq, FrameHeader& header) {
    if (bytes.size < kSlotHeadBytes) return Bad("a slot of " + std::to_string(bytes.size) + " bytes");
    // A header is read as a message is, whose payload follows; here it doesn't, so it is read as a doorbell.
    if ((ReadU16(bytes.data + 64 + 6) & kSharedMemory) != 0) return Bad("a slot's header has flag 128");
    uint8_t bell[kDoorbellBytes] = {};
    std::memcpy(bell, bytes.data + 64, kFrameHeaderBytes);
    if (ReadU16(bell + 4) != kFrameHeaderBytes) return Bad("a slot's header_bytes is not 64");
    WriteU16(bell + 4, kDoorbellBytes);
    WriteU16(bell + 6, static_cast<uint16_t>(ReadU16(bell + 6) | kSharedMemory));
    ByteView none;
    if (Fault fault = DecodeFrame(ByteView(bell, sizeof bell), header, none)) return fault;
    header.header_bytes = kFrameHeaderBytes;
    header.flags = static_cast<uint16_t>(header.flags & ~kSharedMemory);
    if (header.payload_bytes > page.capacity) return Bad("a slot's payload_bytes are over its capacity");
    seq = ReadU64(bytes.data);
    return Fault();
}

Fault MappedFile::Open(const std::string& path) {
    Close();
#ifdef _WIN32
    wchar_t wide[2048];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.c_str(), -1, wide, 2048) == 0)
        return Fault(kLinkLost, "no path: " + path);
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                              OPEN_EXISTING, 0, nullptr);
    if (file == INVALID_HANDLE_VALUE) return Fault(kLinkLost, "error " + std::to_string(GetLastError()) + ": " + path);
    LARGE_INTEGER length;
    HANDLE mapping = nullptr;
    const void* view = nullptr;
    if (GetFileSizeEx(file, &length) != 0) mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (mapping != nullptr) view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    const unsigned long error = GetLastError();
    if (mapping != nullptr) CloseHandle(mapping);  // the view keeps both
    CloseHandle(file);
    if (view == nullptr) return Fault(kLinkLost, "error " + std::to_string(error) + ": " + path);
    data_ = static_cast<const uint8_t*>(view);
    size_ = static_cast<uint64_t>(length.QuadPart);
#else
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return Fault(kLinkLost, std::string(std::strerror(errno)) + ": " + path);
    struct stat found {};
    void* view = MAP_FAILED;
    if (fstat(file, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0)
        view = mmap(nullptr, static_cast<size_t>(found.st_size), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (view == MAP_FAILED) return Fault(kLinkLost, "can't be mapped: " + path);
    data_ = static_cast<const uint8_t*>(view);
    size_ = static_cast<uint64_t>(found.st_size);
#endif
    return Fault();
}

void MappedFile::Close() {
    if (data_ == nullptr) return;
#ifdef _WIN32
    UnmapViewOfFile(data_);
#else
    munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
#endif
    data_ = nullptr;
    size_ = 0;
}

Fault MemoryReader::Open(const std::string& path, uint64_t nonce, uint32_t slots, uint32_t stride) {
    if (Fault fault = file_.Open(path)) return fault;
    const size_t head = file_.Size() < kPageBytes ? static_cast<size_t>(file_.Size()) : static_cast<size_t>(kPageBytes);
    Fault fault = DecodePage(ByteView(file_.Data(), head), file_.Size(), page_);
    if (!fault && page_.nonce != nonce) fault = Bad("another nonce, so another host's file");
    if (!fault && (page_.slots != slots || page_.slot_stride != stride)) fault = Bad("other slots than told");
    if (fault) file_.Close();
    return fault;
}

uint64_t MemoryReader::Seq(uint64_t at) const {
    // One 8-byte load that the compiler may not leave out; slots begin at multiples of 4,096.
    const uint64_t seq = *reinterpret_cast<const volatile uint64_t*>(file_.Data() + at);
    std::atomic_thread_fence(std::memory_order_acquire);
    return seq;
}

CopyResult MemoryReader::Copy(const FrameHeader& bell, uint8_t* to) const {
    SlotPlace place;
    if (file_.Data() == nullptr || PlaceDoorbell(page_, bell, place)) return CopyResult::kBad;
    if (Seq(place.seq_at) != bell.seq) return CopyResult::kTaken;
    std::memcpy(to, file_.Data() + place.payload_at, bell.payload_bytes);
    std::atomic_thread_fence(std::memory_order_acquire);
    return Seq(place.seq_at) == bell.seq ? CopyResult::kWhole : CopyResult::kTaken;
}

}  // namespace texbridge
