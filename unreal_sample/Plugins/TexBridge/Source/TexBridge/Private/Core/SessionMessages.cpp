#include "Core/Session.h"

namespace texbridge {

// --- what comes in --------------------------------------------------------------------------------------------------

Fault Session::MessageCame(Buffer message) {
    std::lock_guard<std::mutex> lock(mutex_);
    Fault fault;
    if (message.View().BeginsWith("TXBP", 4)) {
        Buffer whole;
        bool is_whole = false;
        fault = parts_.Feed(message.View(), whole, is_whole);
        pool_->Give(std::move(message));
        if (fault || !is_whole) {
            fatal_ = fault;
            return fault;
        }
        message = std::move(whole);
    }
    if (message.View().BeginsWith("TX", 2)) {
        fault = TakeFrame(std::move(message));
    } else {
        Value map;
        fault = DecodeMap(message.View(), map);
        pool_->Give(std::move(message));
        if (!fault) return TakeMap(map);
    }
    if (!fault) return Fault();
    ++dropped_;
    // One frame or message with a fault in it costs that one alone; another language costs the link.
    if (fault.code != kNotMsgpack) return Fault();
    fatal_ = fault;
    return fault;
}

Fault Session::TakeFrame(Buffer message) {
    FrameHeader header;
    ByteView payload;
    if (Fault fault = DecodeFrame(message.View(), header, payload)) {
        pool_->Give(std::move(message));
        return fault;
    }
    const auto name = names_.find(header.stream);
    const auto found = name == names_.end() ? viewers_.end() : viewers_.find(name->second);
    if (found == viewers_.end() || found->second.number != header.stream || header.Has(kPreview)) {
        pool_->Give(std::move(message));
        return Fault();
    }
    Viewer& viewer = found->second;
    if (header.Has(kSharedMemory)) {
        pool_->Give(std::move(message));
        message = pool_->Take(header.payload_bytes);
        const bool has_room = message.Size() == header.payload_bytes && header.payload_bytes != 0;
        if (!viewer.memory || !has_room || viewer.memory->Copy(header, message.Data()) != CopyResult::kWhole) {
            pool_->Give(std::move(message));
            viewer.mailbox->Torn(header);
            return Fault();
        }
        ++doorbells_;
        payload = message.View();
    }
    viewer.mailbox->Came(std::make_shared<const Frame>(header, payload, std::move(message), pool_));
    return Fault();
}

Fault Session::TakeMap(const Value& message) {
    const std::string& op = message["op"].AsText();
    if (op == "error" && message["fatal"].AsBool()) {
        const uint64_t code = message["code"].AsUint(kInternal);
        fatal_ = Fault(static_cast<uint16_t>(code), message["message"].AsText(), message["field"].AsText());
        return fatal_;
    }
    if (!is_greeted_) {
        if (op == "welcome") Greeted(message);
    } else if (message.Has("id")) {
        Answered(message);
    } else if (op == "finished") {
        TakeFinished(message);
    } else if (op == "memory") {
        TakeMemory(message);
    } else if (op == "progress") {
        Tell(Event::Kind::kProgress, std::string(), message);
    } else if (op == "changed") {
        Tell(Event::Kind::kChanged, NameOf(message["stream"]), message);
    } else if (op == "error") {
        const uint64_t code = message["code"].AsUint(kInternal);
        Tell(Event::Kind::kTold, std::string(), message, Fault(static_cast<uint16_t>(code), message["message"].AsText()));
    }
    return Fault();  // what a later version says is passed over
}

void Session::Answered(const Value& message) {
    const uint64_t id = message["id"].AsUint();
    auto place = asks_.begin();
    while (place != asks_.end() && (place->id != id || !place->is_sent)) ++place;
    if (place == asks_.end()) return;
    Question ask = std::move(*place);
    asks_.erase(place);
    const std::string& op = message["op"].AsText();
    if (op == "error") {
        Refused(ask, message);
        return;
    }
    const auto opened = opened_.find(ask.stream);
    if (ask.kind == Question::Kind::kRun && op == "accepted") {
        ask.run->Accepted(message["request"].AsUint());
    } else if (ask.kind == Question::Kind::kOpen && op == "opened") {
        names_[static_cast<uint32_t>(message["number"].AsUint())] = ask.stream;
        // Once is enough: it shall not throw out what somebody else makes of the name later.
        if (opened != opened_.end()) opened->second.options.replace = false;
    } else if (ask.kind == Question::Kind::kSubscribe && op == "subscribed") {
        const uint32_t number = static_cast<uint32_t>(message["number"].AsUint());
        names_[number] = ask.stream;
        const auto viewer = viewers_.find(ask.stream);
        if (viewer != viewers_.end()) {
            viewer->second.number = number;
            viewer->second.mailbox->Subscribed(number, link_, true);
        }
    }
    // Values that hold are told to a new bridge. A slot's content is long another by then, so it isn't.
    if ((ask.kind == Question::Kind::kSet || ask.kind == Question::Kind::kRun) && opened != opened_.end())
        for (const Member& member : ask.message["params"].Members())
            if (!member.value.Has("slot")) opened->second.options.params.Set(member.key, member.value);
    if (op != "ok" && op != "pong" && op != "accepted") Tell(Event::Kind::kAnswer, ask.stream, message);
}

void Session::Refused(Question& ask, const Value& message) {
    const Fault fault(static_cast<uint16_t>(message["code"].AsUint(kInternal)), message["message"].AsText(),
                      message["field"].AsText());
    if (ask.kind == Question::Kind::kRun) {
        Outcome outcome;
        outcome.outcome = "failed";
        outcome.fault = fault;
        runs_.erase(ask.run->key);
        ask.run->Finish(outcome);
    } else if (ask.kind == Question::Kind::kOpen) {
        opened_.erase(ask.stream);
    } else if (ask.kind == Question::Kind::kSubscribe) {
        const auto viewer = viewers_.find(ask.stream);
        if (viewer != viewers_.end()) {
            viewer->second.mailbox->End(fault);
            viewers_.erase(viewer);
        }
    }
    Tell(Event::Kind::kRefused, ask.stream, message, fault);
}

void Session::TakeFinished(const Value& message) {
    const auto found = runs_.find(message["key"].AsUint());
    std::string stream;
    if (message.Has("key") && found != runs_.end()) {
        Outcome outcome;
        outcome.outcome = message["outcome"].AsText();
        outcome.frames = static_cast<uint32_t>(message["frames"].AsUint());
        outcome.number = static_cast<uint32_t>(message["number"].AsUint());
        outcome.seed = message["seed"].AsUint();
        if (outcome.outcome == "failed" || message.Has("code"))
            outcome.fault = Fault(static_cast<uint16_t>(message["code"].AsUint(kInternal)), message["message"].AsText());
        const RunPtr run = found->second;
        runs_.erase(found);
        stream = run->stream;
        run->Accepted(message["request"].AsUint());
        run->Finish(outcome);
    }
    Tell(Event::Kind::kFinished, stream, message);
}

void Session::TakeMemory(const Value& message) {
    const auto viewer = viewers_.find(NameOf(message["stream"]));
    if (viewer == viewers_.end()) return;
    viewer->second.memory = std::make_shared<MemoryReader>();
    const Fault fault = viewer->second.memory->Open(
        message["file"].AsText(), message["nonce"].AsUint(), static_cast<uint32_t>(message["slots"].AsUint()),
        static_cast<uint32_t>(message["stride"].AsUint()));
    if (!fault) return;
    // Another host, or no rights: frames come over the link from now on, the held set first.
    viewer->second.memory.reset();
    viewer->second.wants_memory = false;
    Resubscribe(viewer->second);
    Tell(Event::Kind::kTold, viewer->first, message, fault);
}

}  // namespace texbridge
