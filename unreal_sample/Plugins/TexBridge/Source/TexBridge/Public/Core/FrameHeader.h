// The frame header and the doorbell: protocols/frame.md. Pixel formats: protocols/registry.md.
#pragma once

#include "Core/Bytes.h"
#include "Core/Fault.h"

namespace texbridge {

enum FrameFlag : uint16_t {
    kPreview = 1,
    kLastSet = 2,
    kHeld = 4,
    kBottomLeft = 8,
    kLinear = 16,
    kPremultiplied = 32,
    kLastOfSet = 64,
    kSharedMemory = 128,
};

enum PixelFormat : uint16_t {
    kRgba8 = 1,
    kBgra8 = 2,
    kRgb8 = 3,
    kR8 = 4,
    kRgba16f = 5,
    kRgba32f = 6,
    kR16 = 7,
    kR16f = 8,
    kR32f = 9,
    kBc1 = 16,
    kBc3 = 17,
    kBc7 = 18,
    kJpeg = 64,
    kPng = 65,
};

constexpr size_t kFrameHeaderBytes = 64;
constexpr size_t kDoorbellBytes = 80;

struct FrameHeader {
    uint16_t header_bytes = kFrameHeaderBytes;
    uint16_t flags = 0;
    uint32_t stream = 0;
    uint32_t number = 0;
    uint64_t request = 0;
    uint32_t index = 0;
    uint8_t output = 0;
    uint8_t mips = 1;
    uint16_t format = 0;
    uint32_t width = 0;
    uint32_t height = 0;
    uint32_t row_pitch = 0;
    uint32_t payload_bytes = 0;
    uint64_t client_time = 0;
    uint32_t comfy_us = 0;
    uint32_t bridge_us = 0;
    uint32_t slot = 0;  ///< of a doorbell
    uint64_t seq = 0;   ///< of a doorbell

    bool Has(FrameFlag flag) const { return (flags & flag) != 0; }
};

/// Bytes of one row of mip 0: tight, or a row of blocks. 0 for encoded formats, and for those not known here.
TEXBRIDGE_API uint64_t TightRowPitch(uint16_t format, uint32_t width);

/// Bytes of all mip levels; more than 2^32 - 1 is given as 2^32. 0 for encoded formats, and for those not known here.
TEXBRIDGE_API uint64_t PayloadBytes(uint16_t format, uint32_t width, uint32_t height, uint8_t mips);

/// The name on the link, "bgra8"; nullptr for a number that isn't known here.
TEXBRIDGE_API const char* FormatName(uint16_t format);

/// Read one frame or doorbell, a whole message. Fault 103; `payload` lies in `message`, and is empty in a doorbell.
/// A format that isn't known here passes: its geometry can't be checked.
TEXBRIDGE_API Fault DecodeFrame(ByteView message, FrameHeader& header, ByteView& payload);

/// Write the 64 bytes of a frame header, or with flag 128 the 80 of a doorbell. Gives how many.
TEXBRIDGE_API size_t EncodeFrameHeader(const FrameHeader& header, uint8_t* to);

}  // namespace texbridge
