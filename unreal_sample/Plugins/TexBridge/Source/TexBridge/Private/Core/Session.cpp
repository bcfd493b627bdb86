#include "Core/Session.h"

namespace texbridge {

namespace {

constexpr size_t kMostEvents = 4096;
constexpr size_t kMostAsks = 4096;  // without an answer: runs and other messages, while there is no link above all
constexpr size_t kMostHeld = 16;    // held sets cost no credit, so a few may come on top of it
constexpr std::chrono::seconds kSessionLives{30};  // so long after a cut the bridge keeps it

std::vector<uint8_t> Encoded(const Value& message) {
    std::vector<uint8_t> bytes;
    EncodeValue(message, bytes);
    return bytes;
}

}  // namespace

Session::Session(SessionOptions options)
    : options_(std::move(options)),
      outbox_(std::make_shared<Outbox>(options_.max_outbox_bytes)),
      pool_(std::make_shared<BufferPool>()),
      parts_(options_.max_total_bytes, pool_.get()) {}

Session::~Session() {
    const Fault over(kLinkLost, "the client is closed");
    for (auto& viewer : viewers_) viewer.second.mailbox->End(over);
    FailRuns(over.message, true);
}

// --- asking ---------------------------------------------------------------------------------------------------------

void Session::SendAsk(Question& ask) {
    // What finds no room waits here, and goes with the next link.
    if (is_greeted_ && !ask.is_sent) ask.is_sent = outbox_->Push(Encoded(ask.message), link_);
}

void Session::Add(Value message, Question ask) {
    ask.id = ++next_id_;
    message.Set("id", static_cast<unsigned long long>(ask.id));
    ask.message = std::move(message);
    asks_.push_back(std::move(ask));
    SendAsk(asks_.back());
}

void Session::Open(const OpenOptions& options) {
    std::lock_guard<std::mutex> lock(mutex_);
    Opened fresh;
    fresh.options = options;
    const auto before = opened_.find(options.stream);
    if (before != opened_.end() && !options.replace) {
        fresh.options.params = before->second.options.params;
        fresh.options.params.Merge(options.params);
    }
    opened_[options.stream] = fresh;
    Question ask;
    ask.kind = Question::Kind::kOpen;
    ask.stream = options.stream;
    Add(OpenMessage(options, 0), std::move(ask));
}

void Session::CloseStream(const std::string& stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    opened_.erase(stream);
    Question ask;
    ask.stream = stream;
    Add(Value::Map({{"op", "close"}, {"stream", stream}}), std::move(ask));
}

MailboxPtr Session::Subscribe(const SubscribeOptions& options) {
    std::lock_guard<std::mutex> lock(mutex_);
    Viewer& viewer = viewers_[options.stream];
    if (viewer.mailbox) viewer.mailbox->End(Fault(kLinkLost, "another subscription took its place"));
    viewer = Viewer();
    viewer.options = options;
    viewer.mailbox = std::make_shared<Mailbox>(options.stream, outbox_, options.is_lossless ? options.credit + kMostHeld : 0);
    viewer.wants_memory = options_.shared_memory && !options.is_lossless;
    Resubscribe(viewer);
    return viewer.mailbox;
}

void Session::Resubscribe(Viewer& viewer) {
    Question ask;
    ask.kind = Question::Kind::kSubscribe;
    ask.stream = viewer.options.stream;
    Add(SubscribeMessage(viewer.options, viewer.wants_memory, 0), std::move(ask));
}

void Session::Unsubscribe(const std::string& stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = viewers_.find(stream);
    if (found == viewers_.end()) return;
    found->second.mailbox->End(Fault(kLinkLost, "unsubscribed"));
    viewers_.erase(found);
    Question ask;
    ask.stream = stream;
    Add(Value::Map({{"op", "unsubscribe"}, {"stream", stream}}), std::move(ask));
}

void Session::Set(const std::string& stream, const Value& params, uint64_t client_time) {
    std::lock_guard<std::mutex> lock(mutex_);
    // Without a link, or with a full outbox, only the newest values wait, however often they change; but never before
    // what was asked of the stream in between.
    for (auto before = asks_.rbegin(); before != asks_.rend(); ++before) {
        if (before->stream != stream) continue;
        if (before->kind != Question::Kind::kSet || before->is_sent) break;
        Value merged = before->message["params"];
        merged.Merge(params);
        before->message.Set("params", merged);
        if (client_time != 0) before->message.Set("client_time", static_cast<unsigned long long>(client_time));
        SendAsk(*before);
        return;
    }
    Question ask;
    ask.kind = Question::Kind::kSet;
    ask.stream = stream;
    Value message = Value::Map({{"op", "set"}, {"stream", stream}, {"params", params}});
    if (client_time != 0) message.Set("client_time", static_cast<unsigned long long>(client_time));
    Add(std::move(message), std::move(ask));
}

RunPtr Session::Ask(const std::string& stream, const RunOptions& options) {
    std::lock_guard<std::mutex> lock(mutex_);
    const RunPtr run = std::make_shared<Run>(stream, next_key_++);
    return AddRun(run, RunMessage(stream, options, run->key, 0));
}

RunPtr Session::AskSequence(const std::string& stream, const SequenceOptions& options) {
    std::lock_guard<std::mutex> lock(mutex_);
    const RunPtr run = std::make_shared<Run>(stream, next_key_++);
    run->sequence = options;
    return AddRun(run, SequenceMessage(stream, options, run->key, 0));
}

RunPtr Session::AddRun(const RunPtr& run, Value message) {
    if (asks_.size() >= kMostAsks) {
        Outcome outcome;
        outcome.outcome = "failed";
        outcome.fault = Fault(kLinkLost, "too many messages wait for an answer");
        run->Finish(outcome);
        return run;
    }
    run->epoch = epoch_;
    runs_[run->key] = run;
    Question ask;
    ask.kind = Question::Kind::kRun;
    ask.stream = run->stream;
    ask.run = run;
    Add(std::move(message), std::move(ask));
    return run;
}

void Session::Cancel(const RunPtr& run) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!run) return;
    run->is_cancelled = true;
    if (run->IsFinished()) return;
    for (auto ask = asks_.begin(); ask != asks_.end(); ++ask) {
        if (ask->run != run) continue;
        if (!ask->is_sent) {  // nobody knows of it yet
            asks_.erase(ask);
            runs_.erase(run->key);
            Outcome outcome;
            outcome.outcome = "cancelled";
            run->Finish(outcome);
            return;
        }
        break;
    }
    Question ask;
    ask.stream = run->stream;
    Value message = Value::Map({{"op", "cancel"}});
    // Before it is accepted only the stream can be named: all of our requests there.
    if (run->Request() != 0) {
        message.Set("request", static_cast<unsigned long long>(run->Request()));
    } else {
        message.Set("stream", run->stream);
    }
    Add(std::move(message), std::move(ask));
}

void Session::Live(const std::string& stream, bool is_on, double fade_s) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = opened_.find(stream);
    if (found != opened_.end()) {
        found->second.is_live_known = true;
        found->second.is_live = is_on;
    }
    Question ask;
    ask.stream = stream;
    Value message = Value::Map({{"op", "live"}, {"stream", stream}, {"on", is_on}});
    if (fade_s > 0) message.Set("fade_s", fade_s);
    Add(std::move(message), std::move(ask));
}

void Session::Send(const Value& message) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (asks_.size() >= kMostAsks) {
        ++dropped_;
        return;
    }
    Question ask;
    ask.stream = message["stream"].AsText();
    Add(message, std::move(ask));
}

Fault Session::WaitForFrame(const RunPtr& run, const MailboxPtr& mailbox, Clock::time_point until, FrameSet& set) {
    Outcome outcome;
    if (!run->Wait(until, &outcome)) {
        Cancel(run);  // nobody shall make it later, when nobody waits any more
        return Fault(kTimedOut, "no answer to the run in time");
    }
    if (outcome.outcome != "done") return outcome.fault ? outcome.fault : Fault(kLinkLost, "the run ended " + outcome.outcome);
    while (mailbox->Wait(until)) {
        if (!mailbox->Take(set) || set.Header().number < outcome.number) continue;
        if (set.Header().request == run->Request() && set.Header().number == outcome.number) return Fault();
        if (set.Header().number > outcome.number) return Fault(kTimedOut, "a newer set came before the run's own was read");
    }
    if (Fault ended = mailbox->Ended()) return ended;
    return Fault(kTimedOut, "the run's set did not come in time");
}

Fault Session::WaitForIndex(const RunPtr& run, const MailboxPtr& mailbox, uint32_t index, Clock::time_point until,
                            FrameSet& set) {
    const auto wrong = [&](uint16_t code, const std::string& why) {
        return Fault(code, "frame " + std::to_string(int64_t{run->sequence.first} + index) + " (" + std::to_string(index + 1) +
                               " of " + std::to_string(run->sequence.frames) + ") of " + run->stream + ": " + why);
    };
    constexpr std::chrono::milliseconds kLook{50};  // the end of the run and a new set wake up different things
    for (;;) {
        const Clock::time_point now = Clock::now();
        const Clock::time_point soon = until < now + kLook ? until : now + kLook;
        if (!mailbox->Ended()) AskForRest(run, index);
        // Sets wait until it is known whose they are: `accepted` may be lost with a link.
        if (run->WaitAccepted(soon) && mailbox->Take(set)) {
            const FrameHeader& header = set.Header();
            const uint32_t place = run->done + header.index;
            if (header.request != run->Request() || header.Has(kHeld) || place < index) continue;
            if (place == index) return Fault();
            return wrong(kTimedOut, "it was passed over: the stream was black, frozen or in panic, or it was asked for too late");
        }
        // What was released before the end still comes, but for cancelled ones.
        Outcome outcome;
        if (run->IsFinished(&outcome) && outcome.outcome != "done" && !WaitsForAnotherBridge(run) &&
            (outcome.outcome == "cancelled" || index - run->done >= outcome.frames))
            return wrong(outcome.fault ? outcome.fault.code : static_cast<uint16_t>(kLinkLost),
                         "the sequence ended " + outcome.outcome + (outcome.fault ? ": " + outcome.fault.message : ""));
        if (const Fault ended = mailbox->Ended()) return wrong(ended.code, ended.message);
        if (now >= until) return wrong(kTimedOut, "it did not come in time");
        if (run->Request() != 0) mailbox->Wait(soon);
    }
}

// Nobody knows which pictures that went in frame by frame are to be sent again.
bool Session::MayAskAgain(const RunPtr& run) const {
    return run->sequence.images.empty() && !run->is_cancelled;
}

bool Session::IsLostWithTheBridge(const RunPtr& run) const {
    // What a bridge before this one has made and isn't taken yet is gone with its subscription.
    if (run->epoch != epoch_) return true;
    Outcome outcome;
    return run->IsFinished(&outcome) && outcome.fault.code == kLinkLost;  // no link for longer than a session lives
}

// One that is about to end has cancelled it, or refused it.
bool Session::WaitsForAnotherBridge(const RunPtr& run) const {
    std::lock_guard<std::mutex> lock(mutex_);
    Outcome outcome;
    return MayAskAgain(run) && run->IsFinished(&outcome) && outcome.fault.code == kDraining;
}

// A bridge that was restarted, or has forgotten us, is asked for the frames from `index` on.
void Session::AskForRest(const RunPtr& run, uint32_t index) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!MayAskAgain(run) || !IsLostWithTheBridge(run)) return;
    if (asks_.size() >= kMostAsks || index >= run->sequence.frames) return;
    SequenceOptions rest = run->sequence;
    rest.first += static_cast<int32_t>(index);
    rest.frames -= index;
    run->Restart(next_key_++, index);
    AddRun(run, SequenceMessage(run->stream, rest, run->key, 0));
}

// --- what a caller may ask ------------------------------------------------------------------------------------------

std::vector<Event> Session::TakeEvents() {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Event> events(std::make_move_iterator(events_.begin()), std::make_move_iterator(events_.end()));
    events_.clear();
    return events;
}

void Session::Tell(Event::Kind kind, const std::string& stream, const Value& body, const Fault& fault) {
    if (events_.size() == kMostEvents) {
        events_.pop_front();
        ++dropped_;
    }
    Event event;
    event.kind = kind;
    event.stream = stream;
    event.body = body;
    event.fault = fault;
    events_.push_back(std::move(event));
}

bool Session::IsConnected() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return is_greeted_;
}

Value Session::Welcome() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return welcome_;
}

uint64_t Session::Dropped() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return dropped_;
}

uint64_t Session::Doorbells() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return doorbells_;
}

bool Session::WantsLink() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return !fatal_ || MayPass(fatal_);
}

std::string Session::NameOf(const Value& stream) const {
    if (!stream.IsUint()) return stream.AsText();
    const auto found = names_.find(static_cast<uint32_t>(stream.AsUint()));
    return found == names_.end() ? std::string() : found->second;
}

// --- the link comes and goes ----------------------------------------------------------------------------------------

uint64_t Session::LinkOpened() {
    std::lock_guard<std::mutex> lock(mutex_);
    link_ = outbox_->Restart();
    parts_ = PartAssembler(options_.max_total_bytes, pool_.get());
    is_linked_ = true;
    is_greeted_ = false;
    is_pinged_ = false;
    fatal_ = Fault();
    opened_at_ = heard_at_ = Clock::now();
    outbox_->Push(Encoded(HelloMessage(options_, welcome_["session"].AsText())), link_);
    return link_;
}

void Session::LinkEnded(const Fault& why) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!fatal_) fatal_ = why;
    outbox_->Stop();
    if (is_linked_) ended_at_ = Clock::now();
    const bool was_greeted = is_greeted_;
    is_linked_ = is_greeted_ = false;
    for (auto& viewer : viewers_) viewer.second.memory.reset();
    if (!MayPass(fatal_)) {
        for (auto& viewer : viewers_) viewer.second.mailbox->End(fatal_);
        viewers_.clear();
        asks_.clear();
        FailRuns(fatal_.message, true);
        Tell(Event::Kind::kFailed, std::string(), Value(), fatal_);
    } else if (was_greeted) {
        Tell(Event::Kind::kDisconnected, std::string(), Value(), fatal_);
    }
}

void Session::Heard() {
    std::lock_guard<std::mutex> lock(mutex_);
    heard_at_ = Clock::now();
    is_pinged_ = false;
}

Fault Session::Watch(Clock::time_point now) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!is_linked_) {
        if (welcome_.IsMap() && now - ended_at_ > kSessionLives) FailRuns("no link for longer than a session lives", false);
        return Fault();
    }
    if (!is_greeted_) {
        return now - opened_at_ > options_.greeting_limit ? Fault(kLinkLost, "no welcome in time") : Fault();
    }
    if (is_pinged_) return now - pinged_at_ > options_.pong_limit ? Fault(kLinkLost, "the bridge is silent") : Fault();
    if (now - heard_at_ > options_.ping_after) {
        is_pinged_ = true;
        pinged_at_ = now;
        outbox_->Push(Encoded(Value::Map({{"op", "ping"}})), link_);
    }
    return Fault();
}

void Session::Greeted(const Value& welcome) {
    const Value before = welcome_;
    welcome_ = welcome;
    is_greeted_ = true;
    if (before.IsMap() && !welcome["resumed"].AsBool())
        BeginAnew(welcome["boot"] == before["boot"] ? "the session was over" : "the bridge was restarted");
    for (const Value& stream : welcome["streams"].Items())
        names_[static_cast<uint32_t>(stream["number"].AsUint())] = stream["name"].AsText();
    for (auto& entry : viewers_)
        if (entry.second.number != 0) entry.second.mailbox->Subscribed(entry.second.number, link_, false);
    // The session goes on: what has no answer yet is said again, in its order. A key makes nothing twice, and brings
    // `finished` again if that was lost with the old link.
    for (Question& ask : asks_) ask.is_sent = false;
    for (const auto& entry : runs_) {
        bool is_asked = false;
        for (const Question& ask : asks_) is_asked = is_asked || ask.run == entry.second;
        if (is_asked) continue;
        Question ask;
        ask.kind = Question::Kind::kRun;
        ask.stream = entry.second->stream;
        ask.run = entry.second;
        ask.id = ++next_id_;
        // Of a message whose key is known nothing else counts.
        ask.message = entry.second->sequence.frames == 0 ? RunMessage(ask.stream, RunOptions(), entry.first, ask.id)
                                                : SequenceMessage(ask.stream, SequenceOptions(), entry.first, ask.id);
        asks_.push_back(std::move(ask));
    }
    for (Question& ask : asks_) SendAsk(ask);
    Tell(Event::Kind::kConnected, std::string(), welcome);
}

void Session::BeginAnew(const std::string& why) {
    ++epoch_;
    FailRuns(why, false);
    names_.clear();
    std::deque<Question> before;
    before.swap(asks_);
    const bool was_greeted = is_greeted_;
    is_greeted_ = false;  // nothing is sent yet: order is made first
    for (auto& entry : opened_) {
        Question ask;
        ask.kind = Question::Kind::kOpen;
        ask.stream = entry.first;
        Add(OpenMessage(entry.second.options, 0), std::move(ask));
        if (!entry.second.is_live_known || entry.second.is_live == (entry.second.options.mode == "live")) continue;
        Question live;
        live.stream = entry.first;
        Add(Value::Map({{"op", "live"}, {"stream", entry.first}, {"on", entry.second.is_live}}), std::move(live));
    }
    for (auto& entry : viewers_) {
        entry.second.number = 0;
        entry.second.wants_memory = options_.shared_memory && !entry.second.options.is_lossless;
        Resubscribe(entry.second);
    }
    for (Question& ask : before) {
        const bool is_said = ask.kind == Question::Kind::kOpen || ask.kind == Question::Kind::kSubscribe;
        // Setting a value twice does no harm. A number of a request means one of the session before.
        const bool is_lost = ask.is_sent && ask.kind != Question::Kind::kSet;
        if (is_said || is_lost || ask.message.Has("request")) continue;
        if (ask.run) ask.run->epoch = epoch_;
        asks_.push_back(std::move(ask));
    }
    is_greeted_ = was_greeted;
}

void Session::FailRuns(const std::string& why, bool all) {
    Outcome outcome;
    outcome.outcome = "failed";
    outcome.fault = Fault(kLinkLost, why);
    for (auto run = runs_.begin(); run != runs_.end();) {
        bool is_waiting = false;  // for a link: the bridge has never heard of it
        for (const Question& ask : asks_) is_waiting = is_waiting || (ask.run == run->second && !ask.is_sent);
        if (is_waiting && !all) {
            ++run;
            continue;
        }
        run->second->Finish(outcome);
        for (auto ask = asks_.begin(); ask != asks_.end();) ask = ask->run == run->second ? asks_.erase(ask) : ask + 1;
        run = runs_.erase(run);
    }
}

}  // namespace texbridge
