// An engine made of the plugin's core: takes commands from standard input, answers each with a line of JSON. Pictures go
// to the file of the first argument, one after the other, as they came.
//
//   connect HOST PORT tcp|websocket MAX_MESSAGE_BYTES SHARED_MEMORY PIECE   PIECE: bytes taken off the socket at once
//   open STREAM WORKFLOW MODE WIDTH HEIGHT      subscribe STREAM FORMAT ORIGIN     set STREAM NAME=VALUE ...
//   run STREAM SEED NAME=VALUE ...   begin ... (the same, without waiting)   frame (waits for that)   newest STREAM
//   sequence STREAM FRAMES FIRST SEED FORMAT ORIGIN NAME@FRAME=VALUE[:EASING] ...   index INDEX   cancel   blend STREAM FPS
//   connected WELCOMES (waits)   stats   stop
#include "Core/TcpClient.h"

#include <fstream>
#include <iostream>
#include <sstream>

using namespace texbridge;

namespace {

constexpr std::chrono::seconds kLimit{60};

/// A WebSocket client of the least that works, which gives fragments on as an engine's own would.
class WebSocketLink {
public:
    WebSocketLink(std::shared_ptr<Session> session, std::string host, uint16_t port, size_t piece)
        : session_(std::move(session)), host_(std::move(host)), port_(port), piece_(piece), thread_([this] { Run(); }) {}
    ~WebSocketLink() {
        is_over_ = true;
        socket_.Shutdown();
        thread_.join();
    }

private:
    void Run() {
        if (socket_.Connect(host_, port_, kLimit, is_over_)) return;
        const std::string ask = "GET /link HTTP/1.1\r\nHost: " + host_ + ":" + std::to_string(port_) +
                                "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: texbridge.v1\r\n\r\n";
        socket_.SendAll(ByteView(ask.data(), ask.size()));
        std::string answer;
        for (uint8_t byte = 0; answer.find("\r\n\r\n") == std::string::npos && Exactly(&byte, 1);) answer += static_cast<char>(byte);
        if (answer.rfind("HTTP/1.1 101", 0) != 0) return;
        const uint64_t link = session_->LinkOpened();
        std::thread writer([this, link] {
            for (std::vector<uint8_t> message; session_->GetOutbox()->Wait(message, link);) Write(0x82, ByteView(message));
        });
        Read();
        session_->LinkEnded(Fault(kLinkLost, "closed"));
        writer.join();
    }

    void Read() {
        FragmentAssembler assembler(session_->Options().max_total_bytes, session_->GetPool().get());
        for (uint8_t head[14]; Exactly(head, 2);) {
            uint64_t left = head[1] & 127;
            const int more = left == 126 ? 2 : left == 127 ? 8 : 0;
            if (!Exactly(head + 2, static_cast<size_t>(more))) return;
            if (more != 0) left = 0;
            for (int at = 0; at < more; ++at) left = left << 8 | head[2 + at];
            const bool is_message = (head[0] & 15) <= 2, is_end = (head[0] & 128) != 0;
            std::vector<uint8_t> bytes(piece_);
            do {
                const size_t count = left < piece_ ? static_cast<size_t>(left) : piece_;
                if (!Exactly(bytes.data(), count)) return;
                left -= count;
                session_->Heard();
                Buffer message;
                bool is_whole = false;
                const ByteView fragment(bytes.data(), count);
                if (!is_message && (head[0] & 15) == 9) Write(0x8a, fragment);
                if (is_message && assembler.Feed(fragment, is_end && left == 0, message, is_whole)) return;
                if (is_whole && session_->MessageCame(std::move(message))) return;
            } while (left > 0);
        }
    }

    bool Exactly(uint8_t* to, size_t size) {
        while (size > 0 && !is_over_) {
            const int count = socket_.Receive(to, size, std::chrono::milliseconds(250));
            if (count < 0) return false;
            to += count;
            size -= static_cast<size_t>(count);
        }
        return !is_over_;
    }

    void Write(uint8_t kind, ByteView message) {
        std::vector<uint8_t> bytes = {kind};
        const bool is_long = message.size > 125;
        bytes.push_back(static_cast<uint8_t>(is_long ? 128 | 127 : 128 | message.size));
        for (int at = 7; is_long && at >= 0; --at) bytes.push_back(static_cast<uint8_t>(uint64_t{message.size} >> (8 * at)));
        bytes.insert(bytes.end(), 4, 0);  // the mask: anything may be chosen, so nothing is
        bytes.insert(bytes.end(), message.data, message.data + message.size);
        std::lock_guard<std::mutex> lock(mutex_);
        socket_.SendAll(ByteView(bytes));
    }

    std::shared_ptr<Session> session_;
    std::string host_;
    uint16_t port_;
    size_t piece_;
    TcpSocket socket_;
    std::mutex mutex_;
    std::atomic<bool> is_over_{false};
    std::thread thread_;
};

Value ReadOne(const std::string& text) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != 0) return text;
    if (text.find('.') == std::string::npos) return static_cast<long long>(number);
    return number;
}

Value ReadParams(std::istringstream& words) {
    Value params = Value::Map();
    for (std::string word; words >> word;) {
        const size_t at = word.find('=');
        const std::string text = word.substr(at + 1);
        if (text.find(',') == std::string::npos) {
            params.Set(word.substr(0, at), ReadOne(text));
            continue;
        }
        Value list = Value::List();
        std::istringstream items(text);
        for (std::string item; std::getline(items, item, ',');) list.Add(ReadOne(item));
        params.Set(word.substr(0, at), list);
    }
    return params;
}

struct Engine {
    std::ofstream pictures;
    std::shared_ptr<Session> session;
    std::unique_ptr<TcpClient> tcp;
    std::unique_ptr<WebSocketLink> websocket;
    std::map<std::string, MailboxPtr> mailboxes;
    std::vector<RunPtr> runs;
    int welcomes = 0, resumed = 0, failed = 0;

    static Clock::time_point Until() { return Clock::now() + kLimit; }

    void Events() {
        for (const Event& event : session->TakeEvents()) {
            if (event.kind == Event::Kind::kConnected) {
                ++welcomes;
                resumed += event.body["resumed"].AsBool() ? 1 : 0;
            }
            failed += event.kind == Event::Kind::kFailed || event.kind == Event::Kind::kRefused ? 1 : 0;
            if (event.fault) std::cerr << event.stream << " " << event.fault.code << " " << event.fault.message << std::endl;
        }
    }

    std::string Wrong(const Fault& fault) const {
        return "{\"code\": " + std::to_string(fault.code) + ", \"message\": \"" + fault.message + "\"}";
    }

    std::string Show(const FrameSet& set) {
        const FrameHeader& header = set.Header();
        const ByteView bytes = set.frames.front()->Payload();
        pictures.write(reinterpret_cast<const char*>(bytes.data), static_cast<std::streamsize>(bytes.size));
        pictures.flush();
        std::ostringstream told;
        told << "{\"number\": " << header.number << ", \"request\": " << header.request << ", \"flags\": " << header.flags
             << ", \"format\": " << header.format << ", \"width\": " << header.width << ", \"height\": " << header.height
             << ", \"row_pitch\": " << header.row_pitch << ", \"bytes\": " << bytes.size
             << ", \"client_time\": " << header.client_time << "}";
        return told.str();
    }

    std::string Do(const std::string& op, std::istringstream& words) {
        std::string stream, text;
        if (op == "connect") {
            std::string host, kind;
            uint16_t port = 0;
            size_t piece = 0;
            SessionOptions options;
            words >> host >> port >> kind >> options.max_message_bytes >> options.shared_memory >> piece;
            session = std::make_shared<Session>(options);
            if (kind == "websocket") {
                websocket = std::make_unique<WebSocketLink>(session, host, port, piece);
            } else {
                TcpOptions where;
                where.host = host;
                where.port = port;
                where.most_received = piece;
                tcp = std::make_unique<TcpClient>(session, where);
                tcp->Start();
            }
        } else if (op == "open") {
            OpenOptions options;
            words >> options.stream >> options.workflow >> options.mode >> options.width >> options.height;
            session->Open(options);
        } else if (op == "subscribe") {
            SubscribeOptions options;
            words >> options.stream >> options.format >> options.origin;
            mailboxes[options.stream] = session->Subscribe(options);
        } else if (op == "set") {
            words >> stream;
            session->Set(stream, ReadParams(words), 77);
        } else if (op == "run" || op == "begin") {
            RunOptions options;
            words >> stream >> options.seed;
            options.has_seed = true;
            options.params = ReadParams(words);
            runs.push_back(session->Ask(stream, options));
            if (op == "run") return Do("frame", words);
        } else if (op == "sequence") {
            SubscribeOptions subscribe;
            SequenceOptions options;
            options.has_seed = true;
            words >> stream >> options.frames >> options.first >> options.seed >> subscribe.format >> subscribe.origin;
            subscribe.stream = stream;
            subscribe.is_lossless = true;
            subscribe.credit = 4;
            for (std::string word; words >> word;) {
                const size_t at = word.find('@'), is = word.find('='), colon = word.find(':');
                Value value = Value::List();
                std::istringstream items(word.substr(is + 1, colon - is - 1));
                for (std::string item; std::getline(items, item, ',');) value.Add(ReadOne(item));
                const Value alone = value.Items().size() == 1 ? value.Items().front() : value;
                AddKey(options.tracks, word.substr(0, at), std::stoi(word.substr(at + 1, is - at - 1)), alone,
                       colon == std::string::npos ? Value() : Value(word.substr(colon + 1)));
            }
            mailboxes[stream] = session->Subscribe(subscribe);
            runs.push_back(session->AskSequence(stream, options));
        } else if (op == "index") {
            uint32_t index = 0;
            words >> index;
            FrameSet set;
            const Fault fault = session->WaitForIndex(runs.back(), mailboxes[runs.back()->stream], index, Until(), set);
            return fault ? Wrong(fault) : Show(set);
        } else if (op == "answer") {
            Outcome outcome;
            runs.back()->Wait(Until(), &outcome);
            return "{\"frames\": " + std::to_string(outcome.frames) + ", \"seed\": " + std::to_string(outcome.seed) +
                   ", \"outcome\": \"" + outcome.outcome + "\"}";
        } else if (op == "cancel") {
            session->Cancel(runs.back());
        } else if (op == "blend") {
            SubscribeOptions options;
            words >> options.stream >> options.blend_fps;
            mailboxes[options.stream] = session->Subscribe(options);
        } else if (op == "frame") {
            FrameSet set;
            const Fault fault = session->WaitForFrame(runs.back(), mailboxes[runs.back()->stream], Until(), set);
            return fault ? Wrong(fault) : Show(set);
        } else if (op == "newest") {
            words >> stream;
            FrameSet set;
            return mailboxes[stream]->Wait(Until()) && mailboxes[stream]->Take(set) ? Show(set) : Wrong(mailboxes[stream]->Ended());
        } else if (op == "connected") {
            int wanted = 0;
            words >> wanted;
            const auto until = Until();
            // Nothing tells of it, as in a game: it is asked at each tick.
            while ((welcomes < wanted || !session->IsConnected()) && failed == 0 && Clock::now() < until) {
                std::this_thread::sleep_for(std::chrono::milliseconds(2));
                Events();
            }
        } else if (op == "cut") {
            const auto until = Until();
            while (session->IsConnected() && Clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        } else if (op == "stop") {
            tcp.reset();
            websocket.reset();
        } else if (op != "stats") {
            return "{\"unknown\": \"" + op + "\"}";
        }
        Events();
        std::ostringstream told;
        told << "{\"welcomes\": " << welcomes << ", \"resumed\": " << resumed << ", \"refused\": " << failed
             << ", \"dropped\": " << session->Dropped() << ", \"doorbells\": " << session->Doorbells()
             << ", \"connected\": " << (session->IsConnected() ? "true" : "false")
             << ", \"reused\": " << session->GetPool()->Reused() << "}";
        return told.str();
    }
};

}  // namespace

int main(int, char** arguments) {
    Engine engine;
    engine.pictures.open(arguments[1], std::ios::binary);
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string op;
        words >> op;
        std::cout << engine.Do(op, words) << std::endl;
    }
    return 0;
}
