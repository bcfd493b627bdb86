// Reads protocols/vectors/ with the plugin's core: VECTORS_FOLDER as the argument. Prints one line a vector,
// "ok NAME", "refused by the bridge alone NAME", or "FAILED NAME: why"; exit code 1 if one failed.
#include "Core/Framing.h"
#include "Core/Session.h"
#include "Core/SharedMemory.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace texbridge;

namespace {

using Bytes = std::vector<uint8_t>;

// --- the files ------------------------------------------------------------------------------------------------------

struct Vector {
    std::string name;
    unsigned error = 0;
    bool is_canonical = false;
    bool is_for_bridges = false;
    std::string direction;
    std::vector<size_t> cuts;
    std::map<std::string, uint64_t> limits;
    std::vector<std::pair<std::string, Value>> values;
    std::vector<Bytes> items = std::vector<Bytes>(1);

    const Value* Find(const std::string& path) const {
        for (const auto& value : values)
            if (value.first == path) return &value.second;
        return nullptr;
    }
    uint64_t Limit(const char* limit, uint64_t otherwise) const {
        const auto found = limits.find(limit);
        return found == limits.end() ? otherwise : found->second;
    }
};

[[noreturn]] void Die(const std::string& words) {
    std::cout << "FAILED " << words << std::endl;
    std::exit(2);
}

int Hex(char digit) {
    const std::string digits = "0123456789abcdef";
    const size_t at = digits.find(digit);
    return at == std::string::npos ? -1 : static_cast<int>(at);
}

Bytes FromHex(const std::string& text) {
    Bytes bytes;
    for (size_t at = 0; at + 1 < text.size(); at += 2) bytes.push_back(static_cast<uint8_t>(Hex(text[at]) << 4 | Hex(text[at + 1])));
    return bytes;
}

void PutUtf8(std::string& to, unsigned code) {
    if (code < 0x80) {
        to += static_cast<char>(code);
    } else if (code < 0x800) {
        to += static_cast<char>(0xc0 | code >> 6);
        to += static_cast<char>(0x80 | (code & 63));
    } else if (code < 0x10000) {
        to += static_cast<char>(0xe0 | code >> 12);
        to += static_cast<char>(0x80 | (code >> 6 & 63));
        to += static_cast<char>(0x80 | (code & 63));
    } else {
        to += static_cast<char>(0xf0 | code >> 18);
        to += static_cast<char>(0x80 | (code >> 12 & 63));
        to += static_cast<char>(0x80 | (code >> 6 & 63));
        to += static_cast<char>(0x80 | (code & 63));
    }
}

std::string Unquoted(const std::string& text) {
    std::string out;
    unsigned high = 0;
    for (size_t at = 1; at + 1 < text.size(); ++at) {
        if (text[at] != '\\') {
            out += text[at];
            continue;
        }
        const char kind = text[++at];
        if (kind == 'u') {
            unsigned code = static_cast<unsigned>(std::strtoul(text.substr(at + 1, 4).c_str(), nullptr, 16));
            at += 4;
            if (code >= 0xd800 && code < 0xdc00) {
                high = code;
                continue;
            }
            if (code >= 0xdc00 && code < 0xe000) code = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
            PutUtf8(out, code);
        } else {
            out += kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind;
        }
    }
    return out;
}

Value ReadValue(const std::string& text) {
    if (text == "true" || text == "false") return text == "true";
    if (text == "null") return Value();
    if (text == "{}") return Value::Map();
    if (text == "[]") return Value::List();
    if (text.rfind("h'", 0) == 0) return Value::Bytes(ByteView(FromHex(text.substr(2, text.size() - 3))));
    if (text[0] == '"') return Unquoted(text);
    if (text.find_first_of(".e") != std::string::npos) return std::strtod(text.c_str(), nullptr);
    if (text[0] == '-') return static_cast<long long>(std::strtoll(text.c_str(), nullptr, 10));
    return static_cast<unsigned long long>(std::strtoull(text.c_str(), nullptr, 10));
}

void ReadBytes(const std::string& name, const std::string& line, Bytes& to) {
    for (size_t at = 0; at < line.size();) {
        if (line[at] == '#') return;
        if (line[at] == ' ' || line[at] == '\t') {
            ++at;
        } else if (line[at] == '"') {
            const size_t end = line.find('"', at + 1);
            to.insert(to.end(), line.begin() + static_cast<long>(at) + 1, line.begin() + static_cast<long>(end));
            at = end + 1;
        } else {
            size_t end = at;
            while (end < line.size() && Hex(line[end]) >= 0) ++end;
            if (end == at || (end - at) % 2 != 0) Die(name + ": neither hex nor text: " + line);
            const Bytes once = FromHex(line.substr(at, end - at));
            unsigned long times = 1;
            if (end < line.size() && line[end] == '*') {
                char* after = nullptr;
                times = std::strtoul(line.c_str() + end + 1, &after, 10);
                end = static_cast<size_t>(after - line.c_str());
            }
            for (; times > 0; --times) to.insert(to.end(), once.begin(), once.end());
            at = end;
        }
    }
}

Vector ReadVector(const std::string& path, const std::string& name) {
    std::ifstream file(path, std::ios::binary);
    if (!file) Die(name + ": can't be read");
    Vector vector;
    vector.name = name;
    bool has_expect = false;
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("#: ", 0) == 0) {
            std::istringstream words(line.substr(3));
            std::string word, kind;
            words >> word;
            if (word == "shows") continue;
            if (word == "expect") {
                words >> kind;
                if (kind == "error") words >> vector.error;
                has_expect = true;
            } else if (word == "canonical") {
                vector.is_canonical = true;
            } else if (word == "reader") {
                vector.is_for_bridges = true;
            } else if (word == "direction") {
                words >> vector.direction;
            } else if (word == "cut") {
                for (size_t cut = 0; words >> cut;) vector.cuts.push_back(cut);
            } else if (word == "limit" && line.find(" limit = ") == std::string::npos) {
                words >> word >> kind >> vector.limits[word];
            } else {
                const size_t at = line.find(" = ");
                if (at == std::string::npos) Die(name + ": " + line);
                vector.values.emplace_back(word, ReadValue(line.substr(at + 3)));
            }
        } else if (line == "---") {
            vector.items.emplace_back();
        } else {
            ReadBytes(name, line, vector.items.back());
        }
    }
    if (!has_expect) Die(name + ": no expect");
    return vector;
}

// --- what comes out of the bytes ------------------------------------------------------------------------------------

/// Paths and leaves, as the files have them. Names that are there and nil count as absent.
using Leaves = std::vector<std::pair<std::string, Value>>;

void Flatten(const Value& value, const std::string& path, Leaves& to) {
    const std::string dot = path.empty() ? "" : path + ".";
    if (value.IsMap() && !value.Members().empty()) {
        for (const Member& member : value.Members()) Flatten(member.value, dot + member.key, to);
    } else if (value.IsList() && !value.Items().empty()) {
        for (size_t at = 0; at < value.Items().size(); ++at) Flatten(value.Items()[at], dot + std::to_string(at), to);
    } else if (!value.IsNil()) {
        to.emplace_back(path, value);
    }
}

Value Number(uint64_t number) { return static_cast<unsigned long long>(number); }

void AddHeader(const FrameHeader& header, const std::string& before, Leaves& to) {
    const std::pair<const char*, uint64_t> fields[] = {
        {"header_bytes", header.header_bytes}, {"flags", header.flags},   {"stream", header.stream},
        {"number", header.number},             {"request", header.request}, {"index", header.index},
        {"output", header.output},             {"mips", header.mips},     {"format", header.format},
        {"width", header.width},               {"height", header.height}, {"row_pitch", header.row_pitch},
        {"payload_bytes", header.payload_bytes}, {"client_time", header.client_time}, {"comfy_us", header.comfy_us},
        {"bridge_us", header.bridge_us}};
    for (const auto& field : fields) to.emplace_back(before + field.first, Number(field.second));
    if (!header.Has(kSharedMemory)) return;
    to.emplace_back(before + "slot", Number(header.slot));
    to.emplace_back(before + "seq", Number(header.seq));
}

Fault DecodeFrameVector(const Vector&, const std::vector<Bytes>& items, Leaves& to) {
    FrameHeader header;
    ByteView payload;
    if (Fault fault = DecodeFrame(ByteView(items[0]), header, payload)) return fault;
    AddHeader(header, "", to);
    to.emplace_back("payload", Value::Bytes(payload));
    return Fault();
}

Fault DecodePartVector(const Vector& vector, const std::vector<Bytes>& items, Leaves& to) {
    BufferPool pool;
    PartAssembler assembler(vector.Limit("max_total_bytes", 1 << 20), &pool);
    for (size_t place = 0; place < items.size(); ++place) {
        Buffer whole;
        bool is_whole = false;
        if (Fault fault = assembler.Feed(ByteView(items[place]), whole, is_whole)) return fault;
        to.emplace_back("after." + std::to_string(place), is_whole ? Value::Bytes(whole.View()) : Value());
    }
    return Fault();
}

Fault DecodeFramingVector(const Vector& vector, const std::vector<Bytes>& items, Leaves& to, size_t step) {
    BufferPool pool;
    LengthDecoder decoder(static_cast<uint32_t>(vector.Limit("max_message_bytes", 1 << 20)), &pool);
    std::vector<Buffer> messages;
    for (size_t at = 0; at < items[0].size(); at += step) {
        const size_t count = std::min(step, items[0].size() - at);
        if (Fault fault = decoder.Feed(ByteView(items[0].data() + at, count), messages)) return fault;
    }
    to.emplace_back("messages", Number(messages.size()));
    to.emplace_back("waiting", Number(decoder.Waiting()));
    for (size_t place = 0; place < messages.size(); ++place) {
        to.emplace_back("message." + std::to_string(place), Value::Bytes(messages[place].View()));
        to.emplace_back("message." + std::to_string(place) + ".bytes", Number(messages[place].Size()));
    }
    return Fault();
}

Fault DecodeMessageVector(const Vector&, const std::vector<Bytes>& items, Leaves& to) {
    Value map;
    if (Fault fault = DecodeMap(ByteView(items[0]), map)) return fault;
    Flatten(map, "", to);
    return Fault();
}

Fault DecodeMemoryVector(const Vector& vector, const std::vector<Bytes>& items, Leaves& to) {
    MemoryPage page;
    if (Fault fault = DecodePage(ByteView(items[0]), vector.Limit("file_bytes", 0), page)) return fault;
    to = {{"slots", page.slots}, {"slot_stride", page.slot_stride}, {"capacity", page.capacity},
          {"generation", page.generation}, {"nonce", Number(page.nonce)}, {"pid", Number(page.pid)}};
    if (items.size() < 2) return Fault();
    FrameHeader header;
    if (ByteView(items[1]).BeginsWith("TXB1", 4)) {
        ByteView none;
        SlotPlace place;
        if (Fault fault = DecodeFrame(ByteView(items[1]), header, none)) return fault;
        if (Fault fault = PlaceDoorbell(page, header, place)) return fault;
        AddHeader(header, "doorbell.", to);
        to.emplace_back("doorbell.seq_at", Number(place.seq_at));
        to.emplace_back("doorbell.header_at", Number(place.header_at));
        to.emplace_back("doorbell.payload_at", Number(place.payload_at));
        return Fault();
    }
    uint64_t seq = 0;
    if (Fault fault = DecodeSlot(page, ByteView(items[1]), seq, header)) return fault;
    to.emplace_back("slot.seq", Number(seq));
    AddHeader(header, "slot.", to);
    return Fault();
}

Fault Decode(const Vector& vector, const std::vector<Bytes>& items, Leaves& to, size_t step = SIZE_MAX) {
    const std::string folder = vector.name.substr(0, vector.name.find('/'));
    if (folder == "frame") return DecodeFrameVector(vector, items, to);
    if (folder == "part") return DecodePartVector(vector, items, to);
    if (folder == "framing") return DecodeFramingVector(vector, items, to, step == SIZE_MAX ? items[0].size() + 1 : step);
    if (folder == "message") return DecodeMessageVector(vector, items, to);
    return DecodeMemoryVector(vector, items, to);
}

const Value* FindLeaf(const Leaves& leaves, const std::string& path) {
    for (const auto& leaf : leaves)
        if (leaf.first == path) return &leaf.second;
    return nullptr;
}

/// Text may come as bytes where text is meant.
bool IsSame(const Value& found, const Value& said) {
    if (said.GetKind() == Value::Kind::kText && found.GetKind() == Value::Kind::kBytes) return found.AsText() == said.AsText();
    return found == said;
}

std::string CheckValues(const Vector& vector, const Leaves& found) {
    for (const auto& value : vector.values) {
        const Value* leaf = FindLeaf(found, value.first);
        if (leaf == nullptr ? !value.second.IsNil() : !IsSame(*leaf, value.second)) return value.first + " came out otherwise";
    }
    if (vector.name.rfind("message/", 0) != 0 || vector.name == "message/unknown_fields" || !vector.cuts.empty()) return "";
    for (const auto& leaf : found)
        if (vector.Find(leaf.first) == nullptr) return leaf.first + " came out, and is not in the list";
    return "";
}

// --- the other way --------------------------------------------------------------------------------------------------

Value Nest(const Value& tree) {
    if (!tree.IsMap() || tree.Members().empty()) return tree;
    Value list = Value::List(), map = Value::Map();
    bool is_list = true;
    for (size_t at = 0; at < tree.Members().size(); ++at) {
        const Member& member = tree.Members()[at];
        is_list = is_list && member.key == std::to_string(at);
        const Value inner = Nest(member.value);
        list.Add(inner);
        map.Set(member.key, inner);
    }
    return is_list ? list : map;
}

void PutLeaf(Value& tree, const std::string& path, const Value& leaf) {
    const size_t dot = path.find('.');
    if (dot == std::string::npos) {
        tree.Set(path, leaf);
        return;
    }
    const std::string key = path.substr(0, dot);
    Value inner = tree[key.c_str()].IsMap() ? tree[key.c_str()] : Value::Map();
    PutLeaf(inner, path.substr(dot + 1), leaf);
    tree.Set(key, inner);
}

/// The message that the plugin's own calls make for what a vector shows; nil where they have none for it.
Value Built(const std::string& name) {
    if (name == "message/hello" || name == "message/hello_full") {
        SessionOptions options;
        if (name == "message/hello") return Value();
        options.client = "texbridge-unity 0.1.0 (Unity 6000.0)";
        options.token = "s3cret";
        options.max_message_bytes = 65536;
        options.shared_memory = options.live_events = true;
        return HelloMessage(options, "00112233445566778899aabbccddeeff");
    }
    if (name == "message/open_full" || name == "message/open") {
        OpenOptions options;
        options.stream = "sky";
        options.workflow = "gradient";
        if (name == "message/open") return Value();
        options.mode = "live";
        options.params = Value::Map({{"blur", 3}, {"top", Value::List({1.0, 0.5, 0.0})}});
        options.seed_policy = "increment";
        options.max_fps = 29.5;
        options.width = 512;
        options.height = 256;
        options.replace = true;
        return OpenMessage(options, 4);
    }
    if (name == "message/sequence" || name == "message/sequence_full") {
        SequenceOptions options;
        if (name == "message/sequence") {
            options.frames = 24;
            options.fps = 12;
            AddKey(options.tracks, "blur", 0, 1);
            AddKey(options.tracks, "blur", 23, 31, "cubic_in");
            AddKey(options.tracks, "angle", 0, 0.5);
            options.priority = 0;
            return SequenceMessage("sky", options, 42, 7);
        }
        return Value();  // its key is text
    }
    return Value();
}

std::string CheckEncoded(const Vector& vector) {
    const std::string folder = vector.name.substr(0, vector.name.find('/'));
    Bytes made;
    if (folder == "message") {
        Value tree = Value::Map(), again;
        for (const auto& value : vector.values) PutLeaf(tree, value.first, value.second);
        const Value message = Nest(tree);
        EncodeValue(message, made);
        if (made.size() != vector.items[0].size()) return "another number of bytes is written";
        if (DecodeMap(ByteView(made), again) || !(again == message)) return "another map is written";
        const Value built = Built(vector.name);
        if (built.IsMap() && !(built == message)) return "the plugin's own call makes another message";
        return "";
    }
    if (folder == "frame") {
        FrameHeader header;
        ByteView payload;
        DecodeFrame(ByteView(vector.items[0]), header, payload);
        made.resize(kDoorbellBytes);
        made.resize(EncodeFrameHeader(header, made.data()));
        made.insert(made.end(), payload.data, payload.data + payload.size);
    } else if (folder == "framing") {
        Leaves leaves;
        Decode(vector, vector.items, leaves);
        for (size_t place = 0;; ++place) {
            const Value* message = FindLeaf(leaves, "message." + std::to_string(place));
            if (message == nullptr) break;
            const std::string& text = message->AsText();
            made.resize(made.size() + 4);
            WriteU32(made.data() + made.size() - 4, static_cast<uint32_t>(text.size()));
            made.insert(made.end(), text.begin(), text.end());
        }
    } else if (folder == "memory") {
        MemoryPage page;
        DecodePage(ByteView(vector.items[0]), vector.Limit("file_bytes", 0), page);
        made.resize(40);
        EncodePage(page, made.data());
    } else {
        const std::string& whole = vector.Find("after." + std::to_string(vector.items.size() - 1))->AsText();
        return SplitMessage(ByteView(whole.data(), whole.size()), vector.Limit("max_message_bytes", 0), 0) == vector.items
                   ? "" : "other parts are made";
    }
    return made == vector.items[0] ? "" : "other bytes are written";
}

std::string Judge(const Vector& vector) {
    if (vector.error == 0 || !vector.cuts.empty() || vector.is_for_bridges) {
        Leaves found;
        if (Fault fault = Decode(vector, vector.items, found)) return "refused: " + fault.message;
        if (vector.error == 0) {
            const std::string wrong = CheckValues(vector, found);
            if (!wrong.empty()) return wrong;
        }
    }
    if (vector.error != 0 && !vector.is_for_bridges) {
        std::vector<std::vector<Bytes>> bad;
        for (const size_t cut : vector.cuts)
            bad.push_back({Bytes(vector.items[0].begin(), vector.items[0].begin() + static_cast<long>(cut))});
        if (vector.cuts.empty()) bad.push_back(vector.items);
        for (const auto& items : bad) {
            Leaves found;
            const Fault fault = Decode(vector, items, found);
            if (!fault) return "taken: " + std::to_string(items[0].size()) + " bytes";
            if (fault.code != vector.error) return "refused with " + std::to_string(fault.code) + ": " + fault.message;
        }
    }
    if (vector.name.rfind("framing/", 0) == 0) {
        for (size_t step = 1; step <= vector.items[0].size(); ++step) {
            Leaves whole, pieces;
            const Fault fault = Decode(vector, vector.items, whole), other = Decode(vector, vector.items, pieces, step);
            if (fault.code != other.code) return "pieces of " + std::to_string(step) + " are judged otherwise";
            if (!fault && !CheckValues(vector, pieces).empty()) return "pieces of " + std::to_string(step) + " make another result";
        }
    }
    return vector.is_canonical ? CheckEncoded(vector) : "";
}

// --- WebSocket fragments, which no vector has -----------------------------------------------------------------------

std::string JudgeFragments(const Vector& frame) {
    const Bytes& bytes = frame.items[0];
    for (size_t size = 1; size <= bytes.size(); ++size) {
        FragmentAssembler assembler(bytes.size(), nullptr);
        for (int time = 0; time < 2; ++time) {  // the second message begins clean
            for (size_t at = 0; at < bytes.size(); at += size) {
                const size_t count = std::min(size, bytes.size() - at);
                Buffer message;
                bool is_whole = false;
                if (assembler.Feed(ByteView(bytes.data() + at, count), at + count == bytes.size(), message, is_whole))
                    return "a fragment was refused";
                if (is_whole != (at + count == bytes.size())) return "whole too early, or too late";
                if (is_whole && Bytes(message.Data(), message.Data() + message.Size()) != bytes) return "other bytes";
            }
        }
    }
    FragmentAssembler small(bytes.size() - 1, nullptr);
    Buffer message;
    bool is_whole = false;
    if (small.Feed(ByteView(bytes.data(), bytes.size() - 1), false, message, is_whole)) return "refused too early";
    if (small.Feed(ByteView(bytes.data(), 1), true, message, is_whole).code != kMessageTooLarge) return "one byte too many was taken";
    return "";
}

}  // namespace

int main(int count, char** arguments) {
    int failed = 0;
    for (int at = 2; at < count; ++at) {
        const Vector vector = ReadVector(std::string(arguments[1]) + "/" + arguments[at] + ".hex", arguments[at]);
        std::string wrong = Judge(vector);
        if (wrong.empty() && vector.name == "frame/typical") wrong = JudgeFragments(vector);
        if (!wrong.empty()) ++failed;
        const char* word = !wrong.empty() ? "FAILED " : vector.is_for_bridges ? "refused by the bridge alone " : "ok ";
        std::cout << word << vector.name << (wrong.empty() ? "" : ": " + wrong) << std::endl;
    }
    return failed != 0;
}
