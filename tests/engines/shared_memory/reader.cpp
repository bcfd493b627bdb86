// A reader of shared memory in C++, from protocols/shared-memory.md alone. POSIX and Windows.
//
// It prints the UDP port of its bell, takes "file nonce slots stride" from standard input, and reads the newest picture
// it is rung for until WANTED were taken. Every picture is full of its own number: one with another number in it is
// wrong. At its end it prints how many it took, dropped, and found wrong.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#ifdef _WIN32
#include <winsock2.h>
#include <windows.h>
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace {

template <typename T> T at(const uint8_t *bytes, size_t offset) {
    T value;
    std::memcpy(&value, bytes + offset, sizeof value);  // little-endian, as every machine that this runs on
    return value;
}

struct Memory {
    const uint8_t *base = nullptr;
    uint64_t length = 0;
    uint32_t slots = 0, stride = 0, capacity = 0;

    bool map(const std::string &file) {
#ifdef _WIN32
        HANDLE handle = CreateFileA(file.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                    nullptr, OPEN_EXISTING, 0, nullptr);
        LARGE_INTEGER size;
        if (handle == INVALID_HANDLE_VALUE || !GetFileSizeEx(handle, &size)) return false;
        length = static_cast<uint64_t>(size.QuadPart);
        HANDLE mapping = CreateFileMappingW(handle, nullptr, PAGE_READONLY, 0, 0, nullptr);
        if (mapping == nullptr) return false;
        base = static_cast<const uint8_t *>(MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0));
        return base != nullptr;
#else
        int handle = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat found {};
        if (handle < 0 || fstat(handle, &found) != 0) return false;
        length = static_cast<uint64_t>(found.st_size);
        void *there = length < 40 ? MAP_FAILED : mmap(nullptr, length, PROT_READ, MAP_SHARED, handle, 0);
        close(handle);
        if (there == MAP_FAILED) return false;
        base = static_cast<const uint8_t *>(there);
        return true;
#endif
    }

    bool open_file(const std::string &file, uint64_t nonce, uint32_t told_slots, uint32_t told_stride) {
        if (!map(file) || std::memcmp(base, "TXBS", 4) != 0 || at<uint16_t>(base, 4) != 1) return false;
        slots = at<uint32_t>(base, 8);
        stride = at<uint32_t>(base, 12);
        capacity = at<uint32_t>(base, 16);
        return slots == told_slots && stride == told_stride && at<uint64_t>(base, 24) == nonce && slots >= 4 &&
               stride != 0 && stride % 4096 == 0 && capacity >= 1 && capacity <= stride - 128 &&
               4096 + uint64_t(slots) * stride <= length;
    }

    uint64_t seq(uint32_t slot) const {
        auto word = reinterpret_cast<const volatile uint64_t *>(base + 4096 + uint64_t(slot) * stride);
        uint64_t value = *word;
        std::atomic_thread_fence(std::memory_order_acquire);
        return value;
    }

    // Copies a doorbell's payload; false if it points nowhere, or the slot was taken for a newer picture.
    bool copy(const uint8_t *bell, std::vector<uint8_t> &out) const {
        uint32_t bytes = at<uint32_t>(bell, 44), slot = at<uint32_t>(bell, 64);
        uint64_t wanted = at<uint64_t>(bell, 72);
        if (slot >= slots || bytes > capacity || wanted % 2 != 0 || seq(slot) != wanted) return false;
        out.resize(bytes);
        std::memcpy(out.data(), base + 4096 + uint64_t(slot) * stride + 128, bytes);
        std::atomic_thread_fence(std::memory_order_acquire);
        return seq(slot) == wanted;
    }
};

template <typename Socket> bool waits(Socket ear) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ear, &set);
    timeval none{};
    return select(static_cast<int>(ear) + 1, &set, nullptr, nullptr, &none) > 0;
}

}  // namespace

int main(int, char **arguments) {
#ifdef _WIN32
    WSADATA started;
    WSAStartup(MAKEWORD(2, 2), &started);
    int received;
#else
    ssize_t received;
#endif
    auto ear = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(ear, reinterpret_cast<sockaddr *>(&address), sizeof address);
#ifdef _WIN32
    int size = sizeof address;
#else
    socklen_t size = sizeof address;
#endif
    getsockname(ear, reinterpret_cast<sockaddr *>(&address), &size);
    std::cout << ntohs(address.sin_port) << std::endl;

    std::string file;
    uint64_t nonce;
    uint32_t slots, stride;
    std::cin >> file >> nonce >> slots >> stride;
    Memory memory;
    if (!memory.open_file(file, nonce, slots, stride)) {
        std::cout << "{\"error\": \"the file is not the one that was meant\"}" << std::endl;
        return 1;
    }

    unsigned wanted = std::strtoul(arguments[1], nullptr, 10), accepted = 0, rejected = 0, wrong = 0;
    std::vector<uint8_t> picture;
    char message[65536];
    while (accepted < wanted) {
        do received = recv(ear, message, sizeof message, 0);
        while (waits(ear));  // the newest there is
        if (received < 80 || std::memcmp(message, "TXB1", 4) != 0) continue;
        auto bell = reinterpret_cast<const uint8_t *>(message);
        if (at<uint16_t>(bell, 4) != 80 || !(at<uint16_t>(bell, 6) & 128)) continue;
        if (!memory.copy(bell, picture)) {
            ++rejected;
            continue;
        }
        ++accepted;
        uint32_t number = at<uint32_t>(bell, 12);
        for (size_t place = 0; place < picture.size(); place += 4)
            if (at<uint32_t>(picture.data(), place) != number) {
                ++wrong;
                break;
            }
    }
    std::cout << "{\"accepted\": " << accepted << ", \"rejected\": " << rejected << ", \"wrong\": " << wrong << "}"
              << std::endl;
    return 0;
}
