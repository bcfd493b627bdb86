// What makes messages of a stream of bytes: TCP's length words, WebSocket's fragments, and the parts of large messages.
#pragma once

#include "Core/Bytes.h"
#include "Core/Fault.h"

namespace texbridge {

// Each takes its memory from a pool, which may be null and must outlive it.

/// Cuts a TCP stream into messages. Bytes may be received straight into the message: `Writable`, then `Advance`.
class TEXBRIDGE_API LengthDecoder {
public:
    LengthDecoder(uint32_t max_message_bytes, BufferPool* pool) : max_(max_message_bytes), pool_(pool) {}

    /// Where the next bytes go, and how many may: at least 1.
    uint8_t* Writable(size_t& room);

    /// `count` bytes were written there. With the last byte of a message `message` is that message and `is_whole` true.
    /// Faults 111 (length 0), 105 (over the limit), 602 (no memory); the stream can't be read any further then.
    Fault Advance(size_t count, Buffer& message, bool& is_whole);

    /// The same for bytes that came otherwise.
    Fault Feed(ByteView bytes, std::vector<Buffer>& messages);

    /// Bytes of a message that is not whole yet, its length word included.
    size_t Waiting() const { return length_bytes_ + filled_; }

private:
    uint32_t max_;
    BufferPool* pool_;
    uint8_t length_[4] = {};
    size_t length_bytes_ = 0;
    size_t filled_ = 0;
    Buffer body_;
};

/// Puts the fragments of WebSocket messages together, however small: a header may be split over them.
class TEXBRIDGE_API FragmentAssembler {
public:
    FragmentAssembler(size_t max_message_bytes, BufferPool* pool) : max_(max_message_bytes), pool_(pool) {}

    /// One fragment. With the last one `message` is the whole message and `is_whole` true. Fault 105: over the limit.
    Fault Feed(ByteView fragment, bool is_last, Buffer& message, bool& is_whole);

private:
    size_t max_;
    BufferPool* pool_;
    std::vector<uint8_t> bytes_;
};

/// Puts messages together that came in parts: protocols/frame.md, Parts.
class TEXBRIDGE_API PartAssembler {
public:
    PartAssembler(size_t max_total_bytes, BufferPool* pool) : max_(max_total_bytes), pool_(pool) {}

    /// One part, a whole message of its own. Faults 104, 105 (at the first part), 602 (no memory).
    Fault Feed(ByteView part, Buffer& message, bool& is_whole);

private:
    size_t max_;
    BufferPool* pool_;
    Buffer whole_;
    uint32_t message_ = 0;
    uint32_t next_ = 0;  // the part that must come; 0: none is under way
    uint32_t parts_ = 0;
    uint32_t total_ = 0;
    uint32_t size_ = 0;  // of every part but the last
    uint32_t filled_ = 0;
};

/// Cut a message into parts of `max_message_bytes`, header included (33 at least; none come out of less). `number` counts
/// the messages of a connection that went in parts, from 0. One that fits in the peer's limit is better sent whole.
TEXBRIDGE_API std::vector<std::vector<uint8_t>> SplitMessage(ByteView message, size_t max_message_bytes, uint32_t number);

}  // namespace texbridge
