// What a message is made of: maps, lists, numbers, text and bytes, to and from msgpack.
// Source: protocols/engine-link.md, What counts as msgpack.
#pragma once

#include "Core/Bytes.h"
#include "Core/Fault.h"

#include <initializer_list>

namespace texbridge {

struct Member;

class TEXBRIDGE_API Value {
public:
    enum class Kind : uint8_t { kNil, kBool, kInt, kUint, kFloat, kText, kBytes, kList, kMap };

    // All in the source file, where a map's members are a complete type.
    Value();
    Value(const Value& other);
    Value(Value&& other) noexcept;
    Value& operator=(const Value& other);
    Value& operator=(Value&& other) noexcept;
    ~Value();
    Value(bool is);
    Value(int number);
    Value(long number);
    Value(long long number);
    Value(unsigned number);
    Value(unsigned long number);
    Value(unsigned long long number);
    Value(float number);
    Value(double number);
    Value(const char* text);
    Value(std::string text);
    static Value Bytes(ByteView bytes);
    static Value List();
    static Value List(std::initializer_list<Value> items);
    static Value Map();
    static Value Map(std::initializer_list<Member> members);

    Kind GetKind() const { return kind_; }
    bool IsNil() const { return kind_ == Kind::kNil; }
    bool IsMap() const { return kind_ == Kind::kMap; }
    bool IsList() const { return kind_ == Kind::kList; }

    // Each gives what is there, or `otherwise` if that is of another kind or out of range. Whole numbers may come as
    // floats (JavaScript above 2^32), and text as bytes; true is no number.
    bool AsBool(bool otherwise = false) const;
    uint64_t AsUint(uint64_t otherwise = 0) const;
    int64_t AsInt(int64_t otherwise = 0) const;
    double AsNumber(double otherwise = 0.0) const;
    const std::string& AsText() const;  ///< empty if it is neither text nor bytes
    bool IsUint() const;

    const std::vector<Value>& Items() const { return items_; }
    const std::vector<Member>& Members() const { return members_; }
    void Add(Value item);

    /// A map's value; nil if it has none of that name.
    const Value& operator[](const char* key) const;
    bool Has(const char* key) const { return !(*this)[key].IsNil(); }

    /// Give a map a value; one that is there is replaced.
    void Set(const std::string& key, Value value);
    /// The same without a look at what is there: for a reader that knows the key is new.
    void Append(std::string key, Value value);
    /// `Set` for every member of another map.
    void Merge(const Value& other);

    /// The same kind and content; 3 and 3.0 are equal, true and 1 are not, maps in any order.
    bool operator==(const Value& other) const;

private:
    Kind kind_ = Kind::kNil;
    uint64_t number_ = 0;
    double float_ = 0.0;
    std::string text_;  // bytes too
    std::vector<Value> items_;
    std::vector<Member> members_;
};

struct Member {
    std::string key;
    Value value;
};

struct MsgPackLimits {
    uint32_t depth = 16;
    uint32_t nodes = 65536;
};

/// Read one message, which must be one map. Faults: 102 no msgpack map, 106 too deep, too many, or a key twice,
/// 107 text that isn't UTF-8, a key that isn't text, an extension type, or bytes behind the map.
TEXBRIDGE_API Fault DecodeMap(ByteView message, Value& map, const MsgPackLimits& limits = MsgPackLimits());

/// Write a value, every number and length in its shortest form, floats with 64 bits.
TEXBRIDGE_API void EncodeValue(const Value& value, std::vector<uint8_t>& to);

TEXBRIDGE_API bool IsUtf8(const char* text, size_t size);

}  // namespace texbridge
