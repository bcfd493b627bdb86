// What went wrong, as a value: nothing here throws. Numbers are those of protocols/errors.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace texbridge {

enum FaultCode : uint16_t {
    kNoFault = 0,
    kLinkLost = 1,  ///< ours, not on the wire: the bridge can't be reached, or was restarted before it answered
    kTimedOut = 2,  ///< ours: nothing came in the time given
    kNotMsgpack = 102,
    kBadFrame = 103,
    kBadPart = 104,
    kMessageTooLarge = 105,
    kMessageTooComplex = 106,
    kBadMessage = 107,
    kBadLength = 111,
    kSessionTaken = 409,
    kTooManySessions = 407,
    kDraining = 601,
    kInternal = 602,
    kTooSlow = 603,
};

struct Fault {
    uint16_t code = kNoFault;
    std::string message;
    std::string field;

    Fault() = default;
    Fault(uint16_t number, std::string words, std::string at = std::string())
        : code(number), message(std::move(words)), field(std::move(at)) {}

    explicit operator bool() const { return code != kNoFault; }
};

/// Whether connecting again may help after this; not after a wrong token, or between two that don't speak one language.
inline bool MayPass(const Fault& fault) {
    return fault.code <= kTimedOut || fault.code == kDraining || fault.code == kTooSlow || fault.code == kInternal ||
           fault.code == kTooManySessions;
}

}  // namespace texbridge
