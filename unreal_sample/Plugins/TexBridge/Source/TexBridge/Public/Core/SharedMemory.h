// Frames out of a file that both sides map: protocols/shared-memory.md.
#pragma once

#include "Core/Bytes.h"
#include "Core/Fault.h"
#include "Core/FrameHeader.h"

namespace texbridge {

struct MemoryPage {
    uint32_t slots = 0;
    uint32_t slot_stride = 0;
    uint32_t capacity = 0;
    uint32_t generation = 0;
    uint64_t nonce = 0;
    uint64_t pid = 0;
};

/// Where a doorbell's slot lies in the file.
struct SlotPlace {
    uint64_t seq_at = 0;
    uint64_t header_at = 0;
    uint64_t payload_at = 0;
};

/// Read the page at the begin of a file of `file_bytes`. Fault 103.
TEXBRIDGE_API Fault DecodePage(ByteView bytes, uint64_t file_bytes, MemoryPage& page);

/// Write the first 40 bytes of the page.
TEXBRIDGE_API void EncodePage(const MemoryPage& page, uint8_t* to);

/// Find a doorbell's slot. Fault 103: outside, over `capacity`, or an odd `seq`.
TEXBRIDGE_API Fault PlaceDoorbell(const MemoryPage& page, const FrameHeader& bell, SlotPlace& place);

/// Read the first 128 bytes of a slot. Fault 103. The header of a slot that is being written may be half of another.
TEXBRIDGE_API Fault DecodeSlot(const MemoryPage& page, ByteView bytes, uint64_t& seq, FrameHeader& header);

/// A file mapped for reading: mmap, or MapViewOfFile on Windows.
class TEXBRIDGE_API MappedFile {
public:
    MappedFile() = default;
    ~MappedFile() { Close(); }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    /// `path` is UTF-8. Fault 1 with the system's words.
    Fault Open(const std::string& path);
    void Close();
    const uint8_t* Data() const { return data_; }
    uint64_t Size() const { return size_; }

private:
    const uint8_t* data_ = nullptr;
    uint64_t size_ = 0;
};

enum class CopyResult : uint8_t {
    kWhole,  ///< the payload is there
    kTaken,  ///< the slot was taken for a newer picture: drop the frame, and ack it
    kBad,    ///< the doorbell points nowhere, or there is no memory
};

/// One file that `memory` named.
class TEXBRIDGE_API MemoryReader {
public:
    /// Open it; a fault unless it is the one that was told of: then go on without.
    Fault Open(const std::string& path, uint64_t nonce, uint32_t slots, uint32_t stride);

    /// Copy a doorbell's payload, `bell.payload_bytes` bytes.
    CopyResult Copy(const FrameHeader& bell, uint8_t* to) const;

    const MemoryPage& Page() const { return page_; }

private:
    uint64_t Seq(uint64_t at) const;

    MappedFile file_;
    MemoryPage page_;
};

}  // namespace texbridge
