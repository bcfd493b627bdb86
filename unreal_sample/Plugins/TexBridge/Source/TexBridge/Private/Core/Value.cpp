#include "Core/Value.h"

#include <cmath>

namespace texbridge {
namespace {

const Value kNil;
const std::string kNoText;
constexpr double kTwoTo53 = 9007199254740992.0;
constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;

bool IsWhole(double number) { return std::isfinite(number) && std::floor(number) == number; }

}  // namespace

Value::Value() = default;
Value::Value(const Value& other) = default;
Value::Value(Value&& other) noexcept = default;
Value& Value::operator=(const Value& other) = default;
Value& Value::operator=(Value&& other) noexcept = default;
Value::~Value() = default;
Value::Value(bool is) : kind_(Kind::kBool), number_(is ? 1 : 0) {}
Value::Value(int number) : Value(static_cast<long long>(number)) {}
Value::Value(long number) : Value(static_cast<long long>(number)) {}
Value::Value(long long number) : kind_(number < 0 ? Kind::kInt : Kind::kUint), number_(static_cast<uint64_t>(number)) {}
Value::Value(unsigned number) : kind_(Kind::kUint), number_(number) {}
Value::Value(unsigned long number) : kind_(Kind::kUint), number_(number) {}
Value::Value(unsigned long long number) : kind_(Kind::kUint), number_(number) {}
Value::Value(float number) : kind_(Kind::kFloat), float_(number) {}
Value::Value(double number) : kind_(Kind::kFloat), float_(number) {}
Value::Value(const char* text) : kind_(Kind::kText), text_(text) {}
Value::Value(std::string text) : kind_(Kind::kText), text_(std::move(text)) {}

Value Value::Bytes(ByteView bytes) {
    Value value;
    value.kind_ = Kind::kBytes;
    if (bytes.size != 0) value.text_.assign(reinterpret_cast<const char*>(bytes.data), bytes.size);
    return value;
}

Value Value::List() { return List(std::initializer_list<Value>{}); }

Value Value::List(std::initializer_list<Value> items) {
    Value value;
    value.kind_ = Kind::kList;
    value.items_ = items;
    return value;
}

Value Value::Map() { return Map(std::initializer_list<Member>{}); }

Value Value::Map(std::initializer_list<Member> members) {
    Value value;
    value.kind_ = Kind::kMap;
    value.members_ = members;
    return value;
}

bool Value::AsBool(bool otherwise) const { return kind_ == Kind::kBool ? number_ != 0 : otherwise; }

bool Value::IsUint() const {
    return kind_ == Kind::kUint || (kind_ == Kind::kFloat && IsWhole(float_) && float_ >= 0 && float_ < kTwoTo64);
}

uint64_t Value::AsUint(uint64_t otherwise) const {
    if (kind_ == Kind::kUint) return number_;
    return IsUint() ? static_cast<uint64_t>(float_) : otherwise;
}

int64_t Value::AsInt(int64_t otherwise) const {
    if (kind_ == Kind::kInt) return static_cast<int64_t>(number_);
    if (kind_ == Kind::kUint) return number_ <= static_cast<uint64_t>(INT64_MAX) ? static_cast<int64_t>(number_) : otherwise;
    if (kind_ == Kind::kFloat && IsWhole(float_) && float_ >= -kTwoTo63 && float_ < kTwoTo63)
        return static_cast<int64_t>(float_);
    return otherwise;
}

double Value::AsNumber(double otherwise) const {
    if (kind_ == Kind::kFloat) return float_;
    if (kind_ == Kind::kUint) return static_cast<double>(number_);
    if (kind_ == Kind::kInt) return static_cast<double>(static_cast<int64_t>(number_));
    return otherwise;
}

const std::string& Value::AsText() const {
    return kind_ == Kind::kText || kind_ == Kind::kBytes ? text_ : kNoText;
}

const Value& Value::operator[](const char* key) const {
    for (const Member& member : members_)
        if (member.key == key) return member.value;
    return kNil;
}

void Value::Set(const std::string& key, Value value) {
    kind_ = Kind::kMap;
    for (Member& member : members_) {
        if (member.key == key) {
            member.value = std::move(value);
            return;
        }
    }
    members_.push_back(Member{key, std::move(value)});
}

void Value::Add(Value item) { items_.push_back(std::move(item)); }

void Value::Append(std::string key, Value value) { members_.push_back(Member{std::move(key), std::move(value)}); }

void Value::Merge(const Value& other) {
    for (const Member& member : other.members_) Set(member.key, member.value);
}

bool Value::operator==(const Value& other) const {
    if (kind_ == Kind::kFloat || other.kind_ == Kind::kFloat) {
        const bool both = kind_ <= Kind::kFloat && kind_ >= Kind::kInt && other.kind_ <= Kind::kFloat && other.kind_ >= Kind::kInt;
        if (!both) return false;
        if (kind_ == other.kind_) return float_ == other.float_;
        const Value& whole = kind_ == Kind::kFloat ? other : *this;
        const double number = kind_ == Kind::kFloat ? float_ : other.float_;
        return std::fabs(number) <= kTwoTo53 && whole.AsNumber() == number;
    }
    if (kind_ != other.kind_ || number_ != other.number_ || text_ != other.text_) return false;
    if (items_.size() != other.items_.size() || members_.size() != other.members_.size()) return false;
    for (size_t at = 0; at < items_.size(); ++at)
        if (!(items_[at] == other.items_[at])) return false;
    for (const Member& member : members_) {
        const Value& there = other[member.key.c_str()];
        if (&there == &kNil || !(member.value == there)) return false;
    }
    return true;
}

bool IsUtf8(const char* text, size_t size) {
    const uint8_t* at = reinterpret_cast<const uint8_t*>(text);
    const uint8_t* const end = at + size;
    while (at != end) {
        const uint8_t first = *at++;
        if (first < 0x80) continue;
        int more = 0;
        uint32_t least = 0, code = 0;
        if (first >= 0xc2 && first <= 0xdf) {
            more = 1, least = 0x80, code = first & 0x1f;
        } else if (first >= 0xe0 && first <= 0xef) {
            more = 2, least = 0x800, code = first & 0x0f;
        } else if (first >= 0xf0 && first <= 0xf4) {
            more = 3, least = 0x10000, code = first & 0x07;
        } else {
            return false;
        }
        if (end - at < more) return false;
        for (; more > 0; --more, ++at) {
            if ((*at & 0xc0) != 0x80) return false;
            code = code << 6 | (*at & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    }
    return true;
}

}  // namespace texbridge
