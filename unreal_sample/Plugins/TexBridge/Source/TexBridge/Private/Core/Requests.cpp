#include "Core/Session.h"

namespace texbridge {

Value HelloMessage(const SessionOptions& options, const std::string& session) {
    Value message = Value::Map({{"op", "hello"}, {"id", 1}, {"version", 1}, {"client", options.client}});
    if (!options.token.empty()) message.Set("token", options.token);
    if (!session.empty()) message.Set("session", session);
    if (options.max_message_bytes != 0) message.Set("max_message_bytes", options.max_message_bytes);
    if (options.shared_memory) message.Set("shared_memory", true);
    if (options.live_events) message.Set("events", Value::List({"live"}));
    return message;
}

Value OpenMessage(const OpenOptions& options, uint64_t id) {
    Value message = Value::Map({{"op", "open"}});
    if (id != 0) message.Set("id", static_cast<unsigned long long>(id));
    message.Set("stream", options.stream);
    message.Set("workflow", options.workflow);
    message.Set("mode", options.mode);
    if (!options.params.Members().empty()) message.Set("params", options.params);
    if (!options.seed_policy.empty()) message.Set("seed_policy", options.seed_policy);
    if (options.max_fps > 0) message.Set("max_fps", options.max_fps);
    if (options.width != 0) message.Set("size", Value::List({options.width, options.height}));
    if (!options.aspect.empty()) message.Set("aspect", options.aspect);
    if (options.megapixels > 0) message.Set("megapixels", options.megapixels);
    if (options.replace) message.Set("replace", true);
    return message;
}

Value SubscribeMessage(const SubscribeOptions& options, bool shared_memory, uint64_t id) {
    Value message = Value::Map({{"op", "subscribe"}});
    if (id != 0) message.Set("id", static_cast<unsigned long long>(id));
    message.Set("stream", options.stream);
    message.Set("format", options.format);
    message.Set("origin", options.origin);
    message.Set("delivery", options.is_lossless ? "lossless" : "latest");
    message.Set("credit", options.credit);
    if (!options.outputs.empty()) {
        Value outputs = Value::List();
        for (const uint8_t output : options.outputs) outputs.Add(static_cast<unsigned>(output));
        message.Set("outputs", outputs);
    }
    if (options.width != 0) message.Set("size", Value::List({options.width, options.height}));
    if (!options.fit.empty()) message.Set("fit", options.fit);
    if (options.mips) message.Set("mips", true);
    if (options.linear) message.Set("color", "linear");
    if (options.blend_fps > 0) message.Set("blend_fps", options.blend_fps);
    if (shared_memory) message.Set("shared_memory", true);
    return message;
}

Value RunMessage(const std::string& stream, const RunOptions& options, uint64_t key, uint64_t id) {
    Value message = Value::Map({{"op", "run"}});
    if (id != 0) message.Set("id", static_cast<unsigned long long>(id));
    message.Set("stream", stream);
    if (!options.params.Members().empty()) message.Set("params", options.params);
    message.Set("key", static_cast<unsigned long long>(key));
    if (options.client_time != 0) message.Set("client_time", static_cast<unsigned long long>(options.client_time));
    if (options.deadline_ms >= 0) message.Set("deadline_ms", options.deadline_ms);
    if (options.priority >= 0) message.Set("priority", options.priority);
    if (options.has_seed) message.Set("seed", static_cast<unsigned long long>(options.seed));
    return message;
}

void AddKey(Value& tracks, const std::string& parameter, int32_t frame, const Value& value, const Value& easing) {
    Value track = tracks[parameter.c_str()].IsList() ? tracks[parameter.c_str()] : Value::List();
    Value key = Value::List({frame, value});
    if (!easing.IsNil()) key.Add(easing);
    track.Add(std::move(key));
    tracks.Set(parameter, std::move(track));
}

Value SequenceMessage(const std::string& stream, const SequenceOptions& options, uint64_t key, uint64_t id) {
    Value message = Value::Map({{"op", "sequence"}});
    if (id != 0) message.Set("id", static_cast<unsigned long long>(id));
    message.Set("stream", stream);
    message.Set("frames", options.frames);
    if (options.first != 0) message.Set("first", options.first);
    if (options.fps > 0) message.Set("fps", options.fps);
    message.Set("tracks", options.tracks);
    if (!options.images.empty()) {
        Value images = Value::List();
        for (const std::string& name : options.images) images.Add(name);
        message.Set("images", images);
    }
    message.Set("key", static_cast<unsigned long long>(key));
    if (options.deadline_ms >= 0) message.Set("deadline_ms", options.deadline_ms);
    if (options.priority >= 0) message.Set("priority", options.priority);
    if (options.has_seed) message.Set("seed", static_cast<unsigned long long>(options.seed));
    return message;
}

Value PictureValue(uint32_t width, uint32_t height, const char* format, const char* origin, ByteView data) {
    return Value::Map({{"width", width}, {"height", height}, {"format", format}, {"origin", origin}, {"data", Value::Bytes(data)}});
}

uint64_t Run::Request() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return request_;
}

bool Run::IsFinished(Outcome* outcome) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_finished_ && outcome != nullptr) *outcome = outcome_;
    return is_finished_;
}

bool Run::Wait(Clock::time_point until, Outcome* outcome) const {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait_until(lock, until, [&] { return is_finished_; });
    if (is_finished_ && outcome != nullptr) *outcome = outcome_;
    return is_finished_;
}

bool Run::WaitAccepted(Clock::time_point until) const {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait_until(lock, until, [&] { return is_finished_ || request_ != 0; });
    return request_ != 0;
}

void Run::Accepted(uint64_t request) {
    std::lock_guard<std::mutex> lock(mutex_);
    request_ = request;
    moved_.notify_all();
}

void Run::Finish(const Outcome& outcome) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_finished_) return;
    is_finished_ = true;
    outcome_ = outcome;
    moved_.notify_all();
}

void Run::Restart(uint64_t new_key, uint32_t from) {
    std::lock_guard<std::mutex> lock(mutex_);
    key = new_key;
    done = from;
    request_ = 0;
    is_finished_ = false;
    outcome_ = Outcome();
}

}  // namespace texbridge
