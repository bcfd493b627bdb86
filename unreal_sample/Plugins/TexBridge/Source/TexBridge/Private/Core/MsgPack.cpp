#include "Core/Value.h"

#include <set>

namespace texbridge {
namespace {

uint16_t Big16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }
uint32_t Big32(const uint8_t* at) { return static_cast<uint32_t>(Big16(at)) << 16 | Big16(at + 2); }
uint64_t Big64(const uint8_t* at) { return static_cast<uint64_t>(Big32(at)) << 32 | Big32(at + 4); }

class Reader {
public:
    Reader(ByteView bytes, const MsgPackLimits& limits) : rest_(bytes), depth_(limits.depth), nodes_(limits.nodes) {}

    Fault Read(Value& value, uint32_t level) {
        if (nodes_ == 0) return Complex("too many keys, values and items");
        --nodes_;
        const uint8_t* at = nullptr;
        if (!Take(1, at)) return Short();
        const uint8_t first = *at;
        if (first < 0x80) return Number(value, first);
        if (first < 0x90) return Map(value, first & 0x0f, level);
        if (first < 0xa0) return List(value, first & 0x0f, level);
        if (first < 0xc0) return Text(value, first & 0x1f);
        if (first >= 0xe0) return Signed(value, static_cast<int8_t>(first));
        switch (first) {
            case 0xc0: value = Value(); return Fault();
            case 0xc2: value = Value(false); return Fault();
            case 0xc3: value = Value(true); return Fault();
            case 0xc4: return Take(1, at) ? Bytes(value, at[0]) : Short();
            case 0xc5: return Take(2, at) ? Bytes(value, Big16(at)) : Short();
            case 0xc6: return Take(4, at) ? Bytes(value, Big32(at)) : Short();
            case 0xca: return Take(4, at) ? Float32(value, Big32(at)) : Short();
            case 0xcb: return Take(8, at) ? Float64(value, Big64(at)) : Short();
            case 0xcc: return Take(1, at) ? Number(value, at[0]) : Short();
            case 0xcd: return Take(2, at) ? Number(value, Big16(at)) : Short();
            case 0xce: return Take(4, at) ? Number(value, Big32(at)) : Short();
            case 0xcf: return Take(8, at) ? Number(value, Big64(at)) : Short();
            case 0xd0: return Take(1, at) ? Signed(value, static_cast<int8_t>(at[0])) : Short();
            case 0xd1: return Take(2, at) ? Signed(value, static_cast<int16_t>(Big16(at))) : Short();
            case 0xd2: return Take(4, at) ? Signed(value, static_cast<int32_t>(Big32(at))) : Short();
            case 0xd3: return Take(8, at) ? Signed(value, static_cast<int64_t>(Big64(at))) : Short();
            case 0xd9: return Take(1, at) ? Text(value, at[0]) : Short();
            case 0xda: return Take(2, at) ? Text(value, Big16(at)) : Short();
            case 0xdb: return Take(4, at) ? Text(value, Big32(at)) : Short();
            case 0xdc: return Take(2, at) ? List(value, Big16(at), level) : Short();
            case 0xdd: return Take(4, at) ? List(value, Big32(at), level) : Short();
            case 0xde: return Take(2, at) ? Map(value, Big16(at), level) : Short();
            case 0xdf: return Take(4, at) ? Map(value, Big32(at), level) : Short();
            case 0xc1: return Fault(kNotMsgpack, "a byte that msgpack never uses: c1");
            default: return Fault(kBadMessage, "an extension type");
        }
    }

    size_t Left() const { return rest_.size; }

private:
    bool Take(size_t count, const uint8_t*& at) {
        if (rest_.size < count) return false;
        at = rest_.data;
        rest_ = rest_.From(count);
        return true;
    }

    static Fault Short() { return Fault(kNotMsgpack, "the message ends early"); }
    static Fault Complex(const std::string& words) { return Fault(kMessageTooComplex, words); }

    static Fault Number(Value& value, uint64_t number) {
        value = Value(static_cast<unsigned long long>(number));
        return Fault();
    }
    static Fault Signed(Value& value, int64_t number) {
        value = Value(static_cast<long long>(number));
        return Fault();
    }
    static Fault Float32(Value& value, uint32_t bits) {
        float number = 0;
        std::memcpy(&number, &bits, sizeof number);
        value = Value(number);
        return Fault();
    }
    static Fault Float64(Value& value, uint64_t bits) {
        double number = 0;
        std::memcpy(&number, &bits, sizeof number);
        value = Value(number);
        return Fault();
    }
    Fault Bytes(Value& value, size_t size) {
        const uint8_t* at = nullptr;
        if (!Take(size, at)) return Short();
        value = Value::Bytes(ByteView(at, size));
        return Fault();
    }
    Fault Text(Value& value, size_t size) {
        const uint8_t* at = nullptr;
        if (!Take(size, at)) return Short();
        const char* text = reinterpret_cast<const char*>(at);
        if (!IsUtf8(text, size)) return Fault(kBadMessage, "text that isn't UTF-8");
        value = Value(std::string(text, size));
        return Fault();
    }
    Fault List(Value& value, uint32_t count, uint32_t level) {
        if (level >= depth_) return Complex("more than " + std::to_string(depth_) + " levels of maps and lists");
        if (count > nodes_) return Complex("a list of " + std::to_string(count) + " items");
        value = Value::List();
        for (uint32_t place = 0; place < count; ++place) {
            Value item;
            if (Fault fault = Read(item, level + 1)) return fault;
            value.Add(std::move(item));
        }
        return Fault();
    }
    Fault Map(Value& value, uint32_t count, uint32_t level) {
        if (level >= depth_) return Complex("more than " + std::to_string(depth_) + " levels of maps and lists");
        if (count > nodes_ / 2) return Complex("a map of " + std::to_string(count) + " keys");
        value = Value::Map();
        std::set<std::string> keys;
        for (uint32_t place = 0; place < count; ++place) {
            Value key, inner;
            if (Fault fault = Read(key, level + 1)) return fault;
            const bool is_text = key.GetKind() == Value::Kind::kText || key.GetKind() == Value::Kind::kBytes;
            if (!is_text || !IsUtf8(key.AsText().data(), key.AsText().size())) return Fault(kBadMessage, "a key that isn't text");
            if (!keys.insert(key.AsText()).second) return Complex("the key " + key.AsText() + " twice");
            if (Fault fault = Read(inner, level + 1)) return fault;
            value.Append(key.AsText(), std::move(inner));
        }
        return Fault();
    }

    ByteView rest_;
    uint32_t depth_;
    uint32_t nodes_;
};

void Put(std::vector<uint8_t>& to, uint8_t first, uint64_t number, int bytes) {
    to.push_back(first);
    for (int place = bytes - 1; place >= 0; --place) to.push_back(static_cast<uint8_t>(number >> (8 * place)));
}

/// A length behind the shortest of its forms; `fix` holds it in the first byte if it is less than `fix_limit`.
void PutLength(std::vector<uint8_t>& to, size_t count, uint8_t fix, size_t fix_limit, uint8_t one, uint8_t two, uint8_t four) {
    if (count < fix_limit) {
        to.push_back(static_cast<uint8_t>(fix | count));
    } else if (one != 0 && count < 0x100) {
        Put(to, one, count, 1);
    } else if (count < 0x10000) {
        Put(to, two, count, 2);
    } else {
        Put(to, four, count, 4);
    }
}

void PutUint(std::vector<uint8_t>& to, uint64_t number) {
    if (number < 0x80) {
        to.push_back(static_cast<uint8_t>(number));
    } else if (number < 0x100) {
        Put(to, 0xcc, number, 1);
    } else if (number < 0x10000) {
        Put(to, 0xcd, number, 2);
    } else if (number < 0x100000000) {
        Put(to, 0xce, number, 4);
    } else {
        Put(to, 0xcf, number, 8);
    }
}

void PutInt(std::vector<uint8_t>& to, int64_t number) {
    const uint64_t bits = static_cast<uint64_t>(number);
    if (number >= -32) {
        to.push_back(static_cast<uint8_t>(bits));
    } else if (number >= INT8_MIN) {
        Put(to, 0xd0, bits, 1);
    } else if (number >= INT16_MIN) {
        Put(to, 0xd1, bits, 2);
    } else if (number >= INT32_MIN) {
        Put(to, 0xd2, bits, 4);
    } else {
        Put(to, 0xd3, bits, 8);
    }
}

}  // namespace

Fault DecodeMap(ByteView message, Value& map, const MsgPackLimits& limits) {
    if (message.size == 0) return Fault(kNotMsgpack, "an empty message");
    const uint8_t first = message.data[0];
    if ((first & 0xf0) != 0x80 && first != 0xde && first != 0xdf) return Fault(kNotMsgpack, "a message is a msgpack map");
    Reader reader(message, limits);
    if (Fault fault = reader.Read(map, 0)) return fault;
    if (reader.Left() != 0) return Fault(kBadMessage, std::to_string(reader.Left()) + " bytes behind the map");
    return Fault();
}

void EncodeValue(const Value& value, std::vector<uint8_t>& to) {
    const std::string& text = value.AsText();
    switch (value.GetKind()) {
        case Value::Kind::kNil: to.push_back(0xc0); return;
        case Value::Kind::kBool: to.push_back(value.AsBool() ? 0xc3 : 0xc2); return;
        case Value::Kind::kInt: PutInt(to, value.AsInt()); return;
        case Value::Kind::kUint: PutUint(to, value.AsUint()); return;
        case Value::Kind::kFloat: {
            const double number = value.AsNumber();
            uint64_t bits = 0;
            std::memcpy(&bits, &number, sizeof bits);
            Put(to, 0xcb, bits, 8);
            return;
        }
        case Value::Kind::kText:
            PutLength(to, text.size(), 0xa0, 32, 0xd9, 0xda, 0xdb);
            to.insert(to.end(), text.begin(), text.end());
            return;
        case Value::Kind::kBytes:
            PutLength(to, text.size(), 0, 0, 0xc4, 0xc5, 0xc6);
            to.insert(to.end(), text.begin(), text.end());
            return;
        case Value::Kind::kList:
            PutLength(to, value.Items().size(), 0x90, 16, 0, 0xdc, 0xdd);
            for (const Value& item : value.Items()) EncodeValue(item, to);
            return;
        case Value::Kind::kMap:
            PutLength(to, value.Members().size(), 0x80, 16, 0, 0xde, 0xdf);
            for (const Member& member : value.Members()) {
                PutLength(to, member.key.size(), 0xa0, 32, 0xd9, 0xda, 0xdb);
                to.insert(to.end(), member.key.begin(), member.key.end());
                EncodeValue(member.value, to);
            }
            return;
    }
}

}  // namespace texbridge
