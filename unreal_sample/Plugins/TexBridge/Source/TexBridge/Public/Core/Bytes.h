// Bytes that somebody else owns, little-endian numbers, and buffers that are used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// The build tool of the engine defines it for this module; elsewhere nothing has to be exported.
#ifndef TEXBRIDGE_API
#define TEXBRIDGE_API
#endif

namespace texbridge {

/// Some bytes, not owned.
struct ByteView {
    const uint8_t* data = nullptr;
    size_t size = 0;

    ByteView() = default;
    ByteView(const void* bytes, size_t count) : data(static_cast<const uint8_t*>(bytes)), size(count) {}
    explicit ByteView(const std::vector<uint8_t>& bytes) : data(bytes.data()), size(bytes.size()) {}

    /// From `offset` on; nothing if that lies past the end.
    ByteView From(size_t offset) const { return offset < size ? ByteView(data + offset, size - offset) : ByteView(); }
    bool BeginsWith(const char* text, size_t count) const {
        return size >= count && std::memcmp(data, text, count) == 0;
    }
};

inline uint16_t ReadU16(const uint8_t* from) { return static_cast<uint16_t>(from[0] | from[1] << 8); }
inline uint32_t ReadU32(const uint8_t* from) { return ReadU16(from) | static_cast<uint32_t>(ReadU16(from + 2)) << 16; }
inline uint64_t ReadU64(const uint8_t* from) { return ReadU32(from) | static_cast<uint64_t>(ReadU32(from + 4)) << 32; }

inline void WriteU16(uint8_t* to, uint16_t value) {
    to[0] = static_cast<uint8_t>(value);
    to[1] = static_cast<uint8_t>(value >> 8);
}
inline void WriteU32(uint8_t* to, uint32_t value) {
    WriteU16(to, static_cast<uint16_t>(value));
    WriteU16(to + 2, static_cast<uint16_t>(value >> 16));
}
inline void WriteU64(uint8_t* to, uint64_t value) {
    WriteU32(to, static_cast<uint32_t>(value));
    WriteU32(to + 4, static_cast<uint32_t>(value >> 32));
}

/// Memory of its own, neither filled when made nor when grown; 16-byte aligned on 64-bit systems.
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept { Swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        Swap(other);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data_); }

    /// Make room for `size` bytes, which are then not those of before. False: there is no memory.
    bool Resize(size_t size) {
        if (size > capacity_) {
            void* fresh = std::malloc(size);
            if (fresh == nullptr) return false;
            std::free(data_);
            data_ = static_cast<uint8_t*>(fresh);
            capacity_ = size;
        }
        size_ = size;
        return true;
    }

    uint8_t* Data() { return data_; }
    const uint8_t* Data() const { return data_; }
    size_t Size() const { return size_; }
    size_t Capacity() const { return capacity_; }
    ByteView View() const { return ByteView(data_, size_); }

private:
    void Swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    uint8_t* data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

/// Buffers that frames came in, kept for the next ones: no memory is asked for while sizes stay the same. Any thread.
class BufferPool {
public:
    explicit BufferPool(size_t most = 6) : most_(most) {}

    /// A buffer of `size` bytes; an empty one if there is no memory.
    Buffer Take(size_t size) {
        Buffer buffer;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            // The smallest that fits, so that a map of 40 bytes doesn't take the place of a picture.
            size_t best = free_.size();
            for (size_t at = 0; at < free_.size(); ++at) {
                const size_t has = free_[at].Capacity();
                if (has >= size && has / 4 <= size && (best == free_.size() || has < free_[best].Capacity())) best = at;
            }
            if (best != free_.size()) {
                buffer = std::move(free_[best]);
                free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(best));
                ++reused_;
            }
        }
        if (!buffer.Resize(size)) return Buffer();
        return buffer;
    }

    void Give(Buffer&& buffer) {
        if (buffer.Capacity() == 0) return;
        std::lock_guard<std::mutex> lock(mutex_);
        if (free_.size() == most_) free_.erase(free_.begin());
        free_.push_back(std::move(buffer));
    }

    /// How many were given out without asking for memory.
    uint64_t Reused() const {
        std::lock_guard<std::mutex> lock(mutex_);
        return reused_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<Buffer> free_;
    size_t most_;
    uint64_t reused_ = 0;
};

}  // namespace texbridge
