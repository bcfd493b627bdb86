#include "Core/Framing.h"

namespace texbridge {
namespace {

constexpr size_t kPartHeaderBytes = 32;

Fault BadPart(const std::string& words) { return Fault(kBadPart, words); }

Fault TooLarge(uint64_t bytes, uint64_t limit) {
    return Fault(kMessageTooLarge, "a message of " + std::to_string(bytes) + " bytes > " + std::to_string(limit));
}

/// False: there is no memory.
bool MakeRoom(BufferPool* pool, size_t size, Buffer& buffer) {
    if (pool == nullptr) return buffer.Resize(size);
    buffer = pool->Take(size);
    return buffer.Size() == size && (size == 0 || buffer.Data() != nullptr);
}

}  // namespace

uint8_t* LengthDecoder::Writable(size_t& room) {
    if (length_bytes_ < 4) {
        room = 4 - length_bytes_;
        return length_ + length_bytes_;
    }
    room = body_.Size() - filled_;
    return body_.Data() + filled_;
}

Fault LengthDecoder::Advance(size_t count, Buffer& message, bool& is_whole) {
    is_whole = false;
    if (length_bytes_ < 4) {
        length_bytes_ += count;
        if (length_bytes_ < 4) return Fault();
        const uint32_t length = ReadU32(length_);
        if (length == 0) return Fault(kBadLength, "a message of length 0");
        if (length > max_) return TooLarge(length, max_);
        if (!MakeRoom(pool_, length, body_)) return Fault(kInternal, "no memory for a message of " + std::to_string(length) + " bytes");
        filled_ = 0;
        return Fault();
    }
    filled_ += count;
    if (filled_ < body_.Size()) return Fault();
    message = std::move(body_);
    body_ = Buffer();
    length_bytes_ = filled_ = 0;
    is_whole = true;
    return Fault();
}

Fault LengthDecoder::Feed(ByteView bytes, std::vector<Buffer>& messages) {
    while (bytes.size > 0) {
        size_t room = 0;
        uint8_t* to = Writable(room);
        const size_t count = bytes.size < room ? bytes.size : room;
        std::memcpy(to, bytes.data, count);
        bytes = bytes.From(count);
        Buffer message;
        bool is_whole = false;
        if (Fault fault = Advance(count, message, is_whole)) return fault;
        if (is_whole) messages.push_back(std::move(message));
    }
    return Fault();
}

Fault FragmentAssembler::Feed(ByteView fragment, bool is_last, Buffer& message, bool& is_whole) {
    is_whole = false;
    if (fragment.size > max_ - bytes_.size()) return TooLarge(uint64_t{bytes_.size()} + fragment.size, max_);
    if (!is_last || !bytes_.empty()) {
        if (fragment.size != 0) bytes_.insert(bytes_.end(), fragment.data, fragment.data + fragment.size);
        fragment = ByteView(bytes_);
    }
    if (!is_last) return Fault();
    if (!MakeRoom(pool_, fragment.size, message)) return Fault(kInternal, "no memory for a message");
    if (fragment.size != 0) std::memcpy(message.Data(), fragment.data, fragment.size);
    bytes_.clear();
    is_whole = true;
    return Fault();
}

Fault PartAssembler::Feed(ByteView part, Buffer& message, bool& is_whole) {
    is_whole = false;
    if (part.size < kPartHeaderBytes) return BadPart("a part of " + std::to_string(part.size) + " bytes < 32");
    if (!part.BeginsWith("TXBP", 4)) return BadPart("a part begins with TXBP");
    const size_t header_bytes = ReadU16(part.data + 4);
    if (header_bytes < kPartHeaderBytes || header_bytes >= part.size)
        return BadPart("header_bytes " + std::to_string(header_bytes) + " of a part of " + std::to_string(part.size) + " bytes");
    const uint32_t number = ReadU32(part.data + 8), place = ReadU32(part.data + 12), parts = ReadU32(part.data + 16);
    const uint32_t offset = ReadU32(part.data + 20), total = ReadU32(part.data + 24);
    const ByteView bytes = part.From(header_bytes);
    if (place >= parts) return BadPart("part " + std::to_string(place) + " of " + std::to_string(parts));
    if (place != next_) return BadPart("part " + std::to_string(place) + " came, not " + std::to_string(next_));
    if (place == 0) {
        if (total > max_) return TooLarge(total, max_);
        if (bytes.size > total) return BadPart("a part is larger than its message");
        if (!MakeRoom(pool_, total, whole_)) return Fault(kInternal, "no memory for a message of " + std::to_string(total) + " bytes");
        message_ = number;
        parts_ = parts;
        total_ = total;
        size_ = static_cast<uint32_t>(bytes.size);
        filled_ = 0;
    } else if (number != message_ || parts != parts_ || total != total_) {
        return BadPart("the parts of one message don't agree");
    }
    const bool is_last = place + 1 == parts;
    if (offset != filled_) return BadPart("offset " + std::to_string(offset) + " is not " + std::to_string(filled_));
    if (bytes.size > total_ - filled_) return BadPart("a part reaches past its message's end");
    if (is_last ? bytes.size > size_ : bytes.size != size_) return BadPart("all parts but the last are of one size");
    std::memcpy(whole_.Data() + filled_, bytes.data, bytes.size);
    filled_ += static_cast<uint32_t>(bytes.size);
    next_ = place + 1;
    if (!is_last) return Fault();
    next_ = 0;
    if (filled_ != total_) return BadPart("the parts make " + std::to_string(filled_) + " of " + std::to_string(total_) + " bytes");
    message = std::move(whole_);
    whole_ = Buffer();
    is_whole = true;
    return Fault();
}

std::vector<std::vector<uint8_t>> SplitMessage(ByteView message, size_t max_message_bytes, uint32_t number) {
    std::vector<std::vector<uint8_t>> pieces;
    if (max_message_bytes <= kPartHeaderBytes) return pieces;
    const size_t size = max_message_bytes - kPartHeaderBytes;
    const size_t parts = (message.size + size - 1) / size;
    for (size_t place = 0; place < parts; ++place) {
        const ByteView rest = message.From(place * size);
        const size_t count = rest.size < size ? rest.size : size;
        std::vector<uint8_t> piece(kPartHeaderBytes + count);
        std::memcpy(piece.data(), "TXBP", 4);
        WriteU16(piece.data() + 4, kPartHeaderBytes);
        WriteU32(piece.data() + 8, number);
        WriteU32(piece.data() + 12, static_cast<uint32_t>(place));
        WriteU32(piece.data() + 16, static_cast<uint32_t>(parts));
        WriteU32(piece.data() + 20, static_cast<uint32_t>(place * size));
        WriteU32(piece.data() + 24, static_cast<uint32_t>(message.size));
        std::memcpy(piece.data() + kPartHeaderBytes, rest.data, count);
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

}  // namespace texbridge
