// One engine's session over reconnects: what was asked, what is subscribed, and how it goes on after a cut.
// It knows no socket: a transport tells it of messages and takes what is in the outbox. protocols/engine-link.md.
#pragma once

#include "Core/Framing.h"
#include "Core/Mailbox.h"
#include "Core/Value.h"

#include <map>

namespace texbridge {

struct SessionOptions {
    std::string client = "texbridge-unreal";  ///< who you are, for people
    std::string token;
    uint32_t max_message_bytes = 0;  ///< what the socket takes; larger messages come in parts. 0: not said
    bool shared_memory = false;      ///< the engine is on the bridge's host
    bool live_events = false;        ///< `finished` and `progress` of live generations too
    size_t max_total_bytes = size_t{512} << 20;   ///< the largest message taken, parts together
    size_t max_outbox_bytes = size_t{64} << 20;   ///< of messages that wait to be sent
    std::chrono::milliseconds greeting_limit{10000};
    std::chrono::milliseconds ping_after{15000};  ///< of silence
    std::chrono::milliseconds pong_limit{5000};
};

struct OpenOptions {
    std::string stream;
    std::string workflow;
    std::string mode = "latest";  ///< `oneshot`, `latest`, `live`
    Value params = Value::Map();
    std::string seed_policy;      ///< `fixed`, `increment`, `random`; empty: not said
    double max_fps = 0;           ///< 0: not said
    uint32_t width = 0, height = 0;  ///< 0: not said
    std::string aspect;           ///< instead of a size: "16:9"
    double megapixels = 0;
    bool replace = false;
};

struct SubscribeOptions {
    std::string stream;
    std::string format = "bgra8";
    std::string origin = "top_left";
    uint32_t credit = 1;
    bool is_lossless = false;        ///< every set, in its order: for sequences
    double blend_fps = 0;            ///< held blends between two sets, so many a second; 0: none. Not with `is_lossless`
    std::vector<uint8_t> outputs;    ///< none: all
    uint32_t width = 0, height = 0;  ///< 0: as made
    std::string fit;
    bool mips = false;
    bool linear = false;
};

struct RunOptions {
    Value params = Value::Map();
    bool has_seed = false;
    uint64_t seed = 0;
    uint64_t client_time = 0;
    double deadline_ms = -1;  ///< under 0: none
    int priority = -1;        ///< under 0: not said
};

/// Many pictures along tracks. protocols/engine-link.md, sequence.
struct SequenceOptions {
    uint32_t frames = 1;
    int32_t first = 0;               ///< the number of the first one: keys and seeds count in these, `index` doesn't
    double fps = 0;                  ///< 0: not said
    Value tracks = Value::Map();     ///< see `AddKey`
    std::vector<std::string> images; ///< image parameters whose pictures come frame by frame, by `image` and `Send`
    bool has_seed = false;
    uint64_t seed = 0;
    double deadline_ms = -1;         ///< under 0: none
    int priority = -1;               ///< under 0: not said
};

/// Put a key behind those of a parameter's track. `easing`: of the way to it; none said: linear.
TEXBRIDGE_API void AddKey(Value& tracks, const std::string& parameter, int32_t frame, const Value& value, const Value& easing = Value());

/// The maps that go over the link. `id` 0: no answer is asked for.
TEXBRIDGE_API Value OpenMessage(const OpenOptions& options, uint64_t id);
TEXBRIDGE_API Value SubscribeMessage(const SubscribeOptions& options, bool shared_memory, uint64_t id);
TEXBRIDGE_API Value RunMessage(const std::string& stream, const RunOptions& options, uint64_t key, uint64_t id);
TEXBRIDGE_API Value SequenceMessage(const std::string& stream, const SequenceOptions& options, uint64_t key, uint64_t id);
TEXBRIDGE_API Value HelloMessage(const SessionOptions& options, const std::string& session);

/// Raw pixels as an image parameter's value. `format` of protocols/registry.md, `origin` says which row is first.
TEXBRIDGE_API Value PictureValue(uint32_t width, uint32_t height, const char* format, const char* origin, ByteView data);

/// How a request ended.
struct Outcome {
    std::string outcome;  ///< `done`, `superseded`, `expired`, `cancelled`, `failed`
    Fault fault;          ///< why it failed
    uint32_t frames = 0;
    uint32_t number = 0;  ///< of the last set, 0: none
    uint64_t seed = 0;
};

/// One request, until it has its one terminal answer. Any thread.
class TEXBRIDGE_API Run {
public:
    Run(std::string stream_name, uint64_t own_key) : stream(std::move(stream_name)), key(own_key) { sequence.frames = 0; }

    const std::string stream;
    /// What a sequence was asked for with; of a run, `frames` is 0.
    SequenceOptions sequence;

    uint64_t Request() const;  ///< the bridge's number; 0 before it was accepted
    bool IsFinished(Outcome* outcome = nullptr) const;
    bool Wait(Clock::time_point until, Outcome* outcome = nullptr) const;
    /// Wait until its number is known. False: it isn't by then, or the run is over before.
    bool WaitAccepted(Clock::time_point until) const;

    // --- for the session ---
    void Accepted(uint64_t request);
    void Finish(const Outcome& outcome);
    /// Asked once more, by another key, for the frames from this one on.
    void Restart(uint64_t new_key, uint32_t from);
    uint64_t key;
    uint64_t epoch = 0;         ///< the session that it was asked in, see `Session`
    uint32_t done = 0;          ///< frames of requests before this one: the bridge counts those of a request from 0
    bool is_cancelled = false;

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable moved_;
    uint64_t request_ = 0;
    bool is_finished_ = false;
    Outcome outcome_;
};

using RunPtr = std::shared_ptr<Run>;

/// What happened, for a game thread that asks now and then.
struct Event {
    enum class Kind : uint8_t {
        kConnected,     ///< body: `welcome`
        kDisconnected,  ///< fault: why; it is tried again
        kFailed,        ///< fault: why it is not tried again
        kAnswer,        ///< body: `opened`, `subscribed`, `described`, `stats`
        kRefused,       ///< fault: why a message was refused; body: the `error`; stream: of the message
        kFinished,      ///< body: `finished`
        kProgress,      ///< body: `progress`
        kChanged,       ///< body: `changed`
        kTold,          ///< body: an `error` that answers nothing
    };
    Kind kind = Kind::kTold;
    std::string stream;
    Fault fault;
    Value body;
};

class TEXBRIDGE_API Session {
public:
    explicit Session(SessionOptions options);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // --- asking: any thread; returns at once; what is asked without a link waits for the next one ---

    /// A stream that is opened again, with its values, after a bridge was restarted.
    void Open(const OpenOptions& options);
    void CloseStream(const std::string& stream);
    MailboxPtr Subscribe(const SubscribeOptions& options);
    void Unsubscribe(const std::string& stream);
    /// Values; pictures too (`PictureValue`).
    void Set(const std::string& stream, const Value& params, uint64_t client_time = 0);
    RunPtr Ask(const std::string& stream, const RunOptions& options);
    /// A sequence: subscribe `is_lossless` before, with a credit of 4 or so.
    RunPtr AskSequence(const std::string& stream, const SequenceOptions& options);
    void Cancel(const RunPtr& run);
    void Live(const std::string& stream, bool is_on, double fade_s = 0);
    /// Any other message of the page: `freeze`, `blackout`, `panic`, `resume`, `describe`, `stats` ...
    void Send(const Value& message);

    /// Wait until a run's own set is there, taking what comes before it: for recordings that must not miss a picture.
    Fault WaitForFrame(const RunPtr& run, const MailboxPtr& mailbox, Clock::time_point until, FrameSet& set);

    /// Wait for the frame of an index of a sequence: ask in order, those before it are thrown away. Of a bridge that was
    /// restarted the rest is asked for once more, unless pictures go in frame by frame. The fault names the frame.
    Fault WaitForIndex(const RunPtr& run, const MailboxPtr& mailbox, uint32_t index, Clock::time_point until, FrameSet& set);

    std::vector<Event> TakeEvents();
    bool IsConnected() const;
    Value Welcome() const;        ///< the newest one; nil before the first
    uint64_t Dropped() const;     ///< malformed frames and messages, and events that nobody took
    uint64_t Doorbells() const;   ///< frames that came through shared memory

    // --- for a transport: one thread at a time ---
    const std::shared_ptr<Outbox>& GetOutbox() const { return outbox_; }
    const std::shared_ptr<BufferPool>& GetPool() const { return pool_; }
    const SessionOptions& Options() const { return options_; }
    /// Connected: says hello. Gives the link's number.
    uint64_t LinkOpened();
    /// One whole message. A fault: end the link.
    Fault MessageCame(Buffer message);
    void LinkEnded(const Fault& why);
    /// Whether it makes sense to connect again.
    bool WantsLink() const;
    /// Bytes came in.
    void Heard();
    /// To be asked now and then. A fault: end the link.
    Fault Watch(Clock::time_point now);

private:
    /// A message that asks for an answer, until that is here.
    struct Question {
        enum class Kind : uint8_t { kOther, kOpen, kSubscribe, kSet, kRun };
        Kind kind = Kind::kOther;
        std::string stream;
        RunPtr run;
        Value message;
        uint64_t id = 0;
        bool is_sent = false;
    };

    /// A stream that we opened, with the values that hold: what a new bridge has to be told.
    struct Opened {
        OpenOptions options;
        bool is_live_known = false;
        bool is_live = false;
    };

    struct Viewer {
        SubscribeOptions options;
        MailboxPtr mailbox;
        std::shared_ptr<MemoryReader> memory;
        bool wants_memory = false;
        uint32_t number = 0;
    };

    RunPtr AddRun(const RunPtr& run, Value message);
    bool MayAskAgain(const RunPtr& run) const;
    bool IsLostWithTheBridge(const RunPtr& run) const;
    void AskForRest(const RunPtr& run, uint32_t index);
    bool WaitsForAnotherBridge(const RunPtr& run) const;
    void Add(Value message, Question ask);
    void SendAsk(Question& ask);
    void Greeted(const Value& welcome);
    void BeginAnew(const std::string& why);
    Fault TakeFrame(Buffer message);
    Fault TakeMap(const Value& message);
    void Answered(const Value& message);
    void Refused(Question& ask, const Value& message);
    void TakeFinished(const Value& message);
    void TakeMemory(const Value& message);
    void Resubscribe(Viewer& viewer);
    void FailRuns(const std::string& why, bool all);
    void Tell(Event::Kind kind, const std::string& stream, const Value& body, const Fault& fault = Fault());
    std::string NameOf(const Value& stream) const;

    const SessionOptions options_;
    const std::shared_ptr<Outbox> outbox_;
    const std::shared_ptr<BufferPool> pool_;
    mutable std::mutex mutex_;
    PartAssembler parts_;
    uint64_t epoch_ = 0;  // which of our sessions this is: a bridge begins its numbers anew with each
    uint64_t next_id_ = 1;
    uint64_t next_key_ = 1;
    std::deque<Question> asks_;
    std::map<std::string, Opened> opened_;
    std::map<std::string, Viewer> viewers_;
    std::map<uint64_t, RunPtr> runs_;  // by key, unfinished
    std::map<uint32_t, std::string> names_;
    Value welcome_;
    uint64_t link_ = 0;
    bool is_greeted_ = false;
    bool is_linked_ = false;
    Fault fatal_;
    Clock::time_point opened_at_, heard_at_, pinged_at_, ended_at_;
    bool is_pinged_ = false;
    std::deque<Event> events_;
    uint64_t dropped_ = 0;
    uint64_t doorbells_ = 0;
};

}  // namespace texbridge
