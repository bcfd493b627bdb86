#include "Core/FrameHeader.h"

namespace texbridge {
namespace {

enum class Kind : uint8_t { kUnknown, kPixels, kBlocks, kEncoded };

struct Format {
    uint16_t number;
    Kind kind;
    uint8_t bytes;  // of a pixel, or of a block of 4x4
    const char* name;
};

constexpr Format kFormats[] = {
    {kRgba8, Kind::kPixels, 4, "rgba8"},      {kBgra8, Kind::kPixels, 4, "bgra8"},
    {kRgb8, Kind::kPixels, 3, "rgb8"},        {kR8, Kind::kPixels, 1, "r8"},
    {kRgba16f, Kind::kPixels, 8, "rgba16f"},  {kRgba32f, Kind::kPixels, 16, "rgba32f"},
    {kR16, Kind::kPixels, 2, "r16"},          {kR16f, Kind::kPixels, 2, "r16f"},
    {kR32f, Kind::kPixels, 4, "r32f"},        {kBc1, Kind::kBlocks, 8, "bc1"},
    {kBc3, Kind::kBlocks, 16, "bc3"},         {kBc7, Kind::kBlocks, 16, "bc7"},
    {kJpeg, Kind::kEncoded, 0, "jpeg"},       {kPng, Kind::kEncoded, 0, "png"},
};

constexpr Format kUnknownFormat = {0, Kind::kUnknown, 0, nullptr};
constexpr uint64_t kTooMany = uint64_t{1} << 32;

const Format& Find(uint16_t number) {
    for (const Format& format : kFormats)
        if (format.number == number) return format;
    return kUnknownFormat;
}

uint64_t Half(uint64_t side) { return side > 1 ? side / 2 : 1; }

uint32_t MostMips(uint32_t width, uint32_t height) {
    uint32_t levels = 1;
    for (uint32_t side = width > height ? width : height; side > 1; side /= 2) ++levels;
    return levels;
}

Fault Bad(const char* field, uint64_t value, const std::string& limit) {
    return Fault(kBadFrame, std::string(field) + " " + std::to_string(value) + " " + limit, field);
}

Fault CheckGeometry(const FrameHeader& header) {
    if (header.width == 0) return Bad("width", 0, "< 1");
    if (header.height == 0) return Bad("height", 0, "< 1");
    if (header.mips == 0) return Bad("mips", 0, "< 1");
    const Format& format = Find(header.format);
    if (format.kind == Kind::kEncoded) {
        if (header.row_pitch != 0) return Bad("row_pitch", header.row_pitch, "of an encoded format is not 0");
        if (header.mips != 1) return Bad("mips", header.mips, "of an encoded format is not 1");
        if (header.Has(kBottomLeft)) return Bad("flags", header.flags, "of an encoded format has bottom_left");
        if (header.payload_bytes == 0) return Bad("payload_bytes", 0, "of an encoded format");
        return Fault();
    }
    const uint32_t most = MostMips(header.width, header.height);
    if (header.mips > most) return Bad("mips", header.mips, "> " + std::to_string(most));
    if (format.kind == Kind::kUnknown) return Fault();
    const uint64_t pitch = TightRowPitch(header.format, header.width);
    if (header.row_pitch != pitch) return Bad("row_pitch", header.row_pitch, "is not " + std::to_string(pitch));
    const uint64_t bytes = PayloadBytes(header.format, header.width, header.height, header.mips);
    if (header.payload_bytes != bytes) return Bad("payload_bytes", header.payload_bytes, "is not " + std::to_string(bytes));
    return Fault();
}

}  // namespace

uint64_t TightRowPitch(uint16_t number, uint32_t width) {
    const Format& format = Find(number);
    if (format.kind == Kind::kPixels) return uint64_t{width} * format.bytes;
    if (format.kind == Kind::kBlocks) return (uint64_t{width} + 3) / 4 * format.bytes;
    return 0;
}

uint64_t PayloadBytes(uint16_t number, uint32_t width, uint32_t height, uint8_t mips) {
    const Format& format = Find(number);
    if (format.kind != Kind::kPixels && format.kind != Kind::kBlocks) return 0;
    uint64_t total = 0, across = width, down = height;
    for (uint8_t level = 0; level < mips; ++level) {
        const uint64_t row = TightRowPitch(number, static_cast<uint32_t>(across));
        const uint64_t rows = format.kind == Kind::kBlocks ? (down + 3) / 4 : down;
        if (row >= kTooMany || row * rows >= kTooMany || total + row * rows >= kTooMany) return kTooMany;
        total += row * rows;
        across = Half(across);
        down = Half(down);
    }
    return total;
}

const char* FormatName(uint16_t format) { return Find(format).name; }

Fault DecodeFrame(ByteView message, FrameHeader& header, ByteView& payload) {
    if (message.size < kFrameHeaderBytes) return Bad("frame", message.size, "bytes < 64");
    if (!message.BeginsWith("TXB1", 4)) return Fault(kBadFrame, "a frame begins with TXB1", "magic");
    const uint8_t* at = message.data;
    FrameHeader found;
    found.header_bytes = ReadU16(at + 4);
    found.flags = ReadU16(at + 6);
    const bool is_doorbell = found.Has(kSharedMemory);
    const size_t least = is_doorbell ? kDoorbellBytes : kFrameHeaderBytes;
    if (found.header_bytes < least) return Bad("header_bytes", found.header_bytes, "< " + std::to_string(least));
    if (found.header_bytes % 16 != 0) return Bad("header_bytes", found.header_bytes, "is no multiple of 16");
    if (found.header_bytes > message.size) return Bad("header_bytes", found.header_bytes, "is past the message's end");
    found.stream = ReadU32(at + 8);
    found.number = ReadU32(at + 12);
    found.request = ReadU64(at + 16);
    found.index = ReadU32(at + 24);
    found.output = at[28];
    found.mips = at[29];
    found.format = ReadU16(at + 30);
    found.width = ReadU32(at + 32);
    found.height = ReadU32(at + 36);
    found.row_pitch = ReadU32(at + 40);
    found.payload_bytes = ReadU32(at + 44);
    found.client_time = ReadU64(at + 48);
    found.comfy_us = ReadU32(at + 56);
    found.bridge_us = ReadU32(at + 60);
    if (is_doorbell) {
        found.slot = ReadU32(at + 64);
        found.seq = ReadU64(at + 72);
    }
    const ByteView rest = message.From(found.header_bytes);
    const size_t follows = is_doorbell ? 0 : found.payload_bytes;
    if (rest.size != follows) return Bad("payload", rest.size, "bytes, the header says " + std::to_string(follows));
    if (Fault fault = CheckGeometry(found)) return fault;
    header = found;
    payload = rest;
    return Fault();
}

size_t EncodeFrameHeader(const FrameHeader& header, uint8_t* to) {
    const size_t bytes = header.Has(kSharedMemory) ? kDoorbellBytes : kFrameHeaderBytes;
    std::memcpy(to, "TXB1", 4);
    WriteU16(to + 4, static_cast<uint16_t>(bytes));
    WriteU16(to + 6, header.flags);
    WriteU32(to + 8, header.stream);
    WriteU32(to + 12, header.number);
    WriteU64(to + 16, header.request);
    WriteU32(to + 24, header.index);
    to[28] = header.output;
    to[29] = header.mips;
    WriteU16(to + 30, header.format);
    WriteU32(to + 32, header.width);
    WriteU32(to + 36, header.height);
    WriteU32(to + 40, header.row_pitch);
    WriteU32(to + 44, header.payload_bytes);
    WriteU64(to + 48, header.client_time);
    WriteU32(to + 56, header.comfy_us);
    WriteU32(to + 60, header.bridge_us);
    if (bytes == kDoorbellBytes) {
        WriteU32(to + 64, header.slot);
        WriteU32(to + 68, 0);
        WriteU64(to + 72, header.seq);
    }
    return bytes;
}

}  // namespace texbridge
