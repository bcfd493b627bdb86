// The rules of mailboxes, sessions and back-off, with no socket: what comes in is told, what goes out is read.
#include "Core/TcpClient.h"

#include <iostream>

using namespace texbridge;

namespace {

int wrong = 0;

void Expect(bool holds, const char* words, int line) {
    if (holds) return;
    std::cout << "line " << line << ": " << words << std::endl;
    ++wrong;
}
#define EXPECT(condition) Expect((condition), #condition, __LINE__)

Buffer ToBuffer(const std::vector<uint8_t>& bytes) {
    Buffer buffer;
    buffer.Resize(bytes.size());
    std::memcpy(buffer.Data(), bytes.data(), bytes.size());
    return buffer;
}

Buffer Map(const Value& value) {
    std::vector<uint8_t> bytes;
    EncodeValue(value, bytes);
    return ToBuffer(bytes);
}

FrameHeader Header(uint32_t stream, uint32_t number, uint16_t flags, uint8_t output = 0) {
    FrameHeader header;
    header.stream = stream;
    header.number = number;
    header.flags = flags;
    header.output = output;
    header.format = kBgra8;
    header.width = header.height = 1;
    header.row_pitch = header.payload_bytes = 4;
    return header;
}

Buffer Picture(const FrameHeader& header) {
    std::vector<uint8_t> bytes(kDoorbellBytes);
    bytes.resize(EncodeFrameHeader(header, bytes.data()));
    if (!header.Has(kSharedMemory)) bytes.insert(bytes.end(), 4, 7);
    return ToBuffer(bytes);
}

/// The bridge's side of a session.
struct Peer {
    std::shared_ptr<Session> session;
    explicit Peer(SessionOptions options = SessionOptions()) : session(std::make_shared<Session>(options)) {}

    Value Next() {
        std::vector<uint8_t> message;
        Value map;
        if (session->GetOutbox()->Take(message)) DecodeMap(ByteView(message), map);
        return map;
    }
    std::string NextOp() { return Next()["op"].AsText(); }
    bool IsQuiet() { return Next().IsNil(); }
    Fault Say(const Value& message) { return session->MessageCame(Map(message)); }
    Fault Say(const FrameHeader& header) { return session->MessageCame(Picture(header)); }

    /// Connect and greet; gives what hello said.
    Value Greet(const char* boot = "a", bool resumed = false) {
        session->LinkOpened();
        const Value hello = Next();
        Say(Value::Map({{"op", "welcome"}, {"id", 1}, {"version", 1}, {"boot", boot}, {"session", "5e55"},
                        {"resumed", resumed}, {"unfinished", Value::List()}, {"streams", Value::List()}}));
        return hello;
    }
    /// Answer the next message, which must be `op`.
    Value Answer(const char* op, const char* with, std::initializer_list<Member> fields = {}) {
        const Value asked = Next();
        EXPECT(asked["op"].AsText() == op);
        Value answer = Value::Map({{"op", with}, {"id", asked["id"]}});
        for (const Member& field : fields) answer.Set(field.key, field.value);
        Say(answer);
        return asked;
    }
    MailboxPtr SubscribeToAll(const char* stream, uint32_t number) {
        SubscribeOptions options;
        options.stream = stream;
        options.is_lossless = true;
        options.credit = 4;
        const MailboxPtr mailbox = session->Subscribe(options);
        EXPECT(Answer("subscribe", "subscribed", {{"number", number}})["delivery"].AsText() == "lossless");
        return mailbox;
    }
    MailboxPtr Subscribe(const char* stream, uint32_t number) {
        SubscribeOptions options;
        options.stream = stream;
        const MailboxPtr mailbox = session->Subscribe(options);
        const Value asked = Answer("subscribe", "subscribed", {{"number", number}});
        EXPECT(asked["format"].AsText() == "bgra8" && asked["origin"].AsText() == "top_left");
        return mailbox;
    }
};

void Credit() {
    Peer peer;
    peer.Greet();
    const MailboxPtr mailbox = peer.Subscribe("sky", 3);
    FrameSet set;
    EXPECT(!mailbox->Take(set));
    peer.Say(Header(3, 0, kHeld | kLastOfSet));
    EXPECT(mailbox->Take(set) && set.Header().number == 0);
    EXPECT(peer.IsQuiet());  // a placeholder has no number to ack

    peer.Say(Header(3, 5, kLastOfSet));
    EXPECT(peer.IsQuiet());  // not when it arrives
    EXPECT(mailbox->Take(set) && set.Header().number == 5);
    const Value ack = peer.Next();
    EXPECT(ack["op"].AsText() == "ack" && ack["stream"].AsUint() == 3 && ack["number"].AsUint() == 5);
    EXPECT(!mailbox->Take(set) && peer.IsQuiet());

    // A numbered set that black took the place of is acked all the same, or the credit would be gone for good.
    peer.Say(Header(3, 6, kLastOfSet));
    peer.Say(Header(3, 0, kHeld | kLastOfSet));
    EXPECT(mailbox->Take(set) && set.Header().number == 0);
    EXPECT(peer.Next()["number"].AsUint() == 6);

    // Two outputs are one set; one that is broken off leaves nothing behind.
    peer.Say(Header(3, 7, 0, 0));
    EXPECT(!mailbox->Take(set));
    peer.Say(Header(3, 8, 0, 0));
    peer.Say(Header(3, 8, kLastOfSet, 1));
    EXPECT(mailbox->Take(set) && set.frames.size() == 2 && set.Output(1) && !set.Output(2));
    EXPECT(peer.Next()["number"].AsUint() == 8);

    // Another stream's frames, previews, and messages of a later version are nobody's.
    peer.Say(Header(4, 9, kLastOfSet));
    peer.Say(Header(3, 9, kPreview | kLastOfSet));
    EXPECT(!peer.Say(Value::Map({{"op", "tomorrow"}})));
    EXPECT(!mailbox->Take(set) && peer.IsQuiet());

    uint64_t came = 0, replaced = 0;
    mailbox->Counts(came, replaced);
    EXPECT(came == 5 && replaced == 1);
}

void Torn() {
    Peer peer;
    peer.Greet();
    const MailboxPtr mailbox = peer.Subscribe("sky", 3);
    FrameSet set;
    FrameHeader bell = Header(3, 4, kSharedMemory);
    peer.Say(bell);  // no `memory` was told of: it points nowhere
    EXPECT(peer.IsQuiet());  // its set is not over
    peer.Say(Header(3, 4, kLastOfSet, 1));
    EXPECT(!mailbox->Take(set));
    EXPECT(peer.Next()["number"].AsUint() == 4);  // dropped ones are acked too
    bell = Header(3, 5, kSharedMemory | kLastOfSet);
    peer.Say(bell);
    EXPECT(peer.Next()["number"].AsUint() == 5);
    peer.Say(bell = Header(3, 6, kSharedMemory));
    peer.Say(Header(3, 7, kLastOfSet));  // 6 was broken off; 7 is whole
    EXPECT(mailbox->Take(set) && set.Header().number == 7);
}

void Memory() {
    SessionOptions options;
    options.shared_memory = true;
    Peer peer(options);
    EXPECT(peer.Greet()["shared_memory"].AsBool());
    SubscribeOptions wanted;
    wanted.stream = "sky";
    peer.session->Subscribe(wanted);
    EXPECT(peer.Answer("subscribe", "subscribed", {{"number", 3}})["shared_memory"].AsBool());
    // A file that can't be had: asked again without.
    peer.Say(Value::Map({{"op", "memory"}, {"stream", 3}, {"file", "/nowhere/at/all"}, {"nonce", 1}, {"slots", 4}, {"stride", 4096}}));
    const Value again = peer.Next();
    EXPECT(again["op"].AsText() == "subscribe" && !again.Has("shared_memory"));
}

void Values() {
    Peer peer;
    for (int at = 0; at < 1000; ++at) {
        peer.session->Set("sky", Value::Map({{"blur", at}}), static_cast<uint64_t>(at));
        peer.session->Set("sea", Value::Map({{"blur", -at}}));
    }
    peer.session->Set("sky", Value::Map({{"noise", 0.5}}));
    const RunPtr run = peer.session->Ask("sky", RunOptions());
    peer.session->Set("sky", Value::Map({{"blur", 5}}));
    peer.Greet();
    const Value set = peer.Answer("set", "ok");
    EXPECT(set["params"]["blur"].AsInt() == 999 && set["params"]["noise"].AsNumber() == 0.5);
    EXPECT(set["client_time"].AsUint() == 999);
    EXPECT(peer.Answer("set", "ok")["params"]["blur"].AsInt() == -999);
    EXPECT(peer.NextOp() == "run");
    EXPECT(peer.Next()["params"]["blur"].AsInt() == 5);
    EXPECT(peer.IsQuiet());
}

void Waiting() {
    Peer peer;
    FrameSet set;
    SubscribeOptions options;
    options.stream = "sky";
    const MailboxPtr mailbox = peer.session->Subscribe(options);
    const RunPtr run = peer.session->Ask("sky", RunOptions());
    // Nothing is there yet, and nobody waits when it comes: it isn't asked for any more.
    EXPECT(peer.session->WaitForFrame(run, mailbox, Clock::now(), set).code == kTimedOut);
    Outcome outcome;
    EXPECT(run->IsFinished(&outcome) && outcome.outcome == "cancelled");
    for (int at = 0; at < 5000; ++at) peer.session->Send(Value::Map({{"op", "describe"}, {"stream", "sky"}}));
    EXPECT(peer.session->Ask("sky", RunOptions())->IsFinished(&outcome) && outcome.fault.code == kLinkLost);
    peer.Greet();
    int asked = 0;
    while (!peer.IsQuiet()) ++asked;
    EXPECT(asked == 4096);
}

void Restart() {
    Peer peer;
    const RunPtr early = peer.session->Ask("sky", RunOptions());  // before there is any link
    EXPECT(!peer.Greet().Has("session"));
    peer.Answer("run", "accepted", {{"request", 1}});
    peer.Say(Value::Map({{"op", "finished"}, {"request", 1}, {"key", Value(1)}, {"outcome", "done"}, {"frames", 1}, {"number", 9}}));
    Outcome outcome;
    EXPECT(early->IsFinished(&outcome) && outcome.outcome == "done" && outcome.number == 9);

    OpenOptions open;
    open.stream = "sky";
    open.workflow = "gradient";
    open.params = Value::Map({{"blur", 0.1}});
    open.replace = true;
    peer.session->Open(open);
    EXPECT(peer.Answer("open", "opened", {{"number", 3}})["replace"].AsBool());
    const MailboxPtr mailbox = peer.Subscribe("sky", 3);
    peer.session->Set("sky", Value::Map({{"blur", 0.2}}));
    peer.Answer("set", "ok");
    peer.session->Set("sky", Value::Map({{"blur", 7}}));
    peer.Answer("set", "error", {{"code", 302}, {"message", "7 is outside"}});
    peer.session->Live("sky", true);
    peer.Answer("live", "ok");
    const RunPtr run = peer.session->Ask("sky", RunOptions());
    peer.Answer("run", "accepted", {{"request", 2}});
    const RunPtr unheard = peer.session->Ask("sky", RunOptions());
    EXPECT(peer.NextOp() == "run");

    // Cut, and resumed: the same two keys again, and nothing else.
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    EXPECT(!peer.session->IsConnected());
    EXPECT(peer.Greet("a", true)["session"].AsText() == "5e55");
    EXPECT(peer.Answer("run", "accepted", {{"request", 3}})["key"].AsUint() == unheard->key);
    EXPECT(peer.Answer("run", "accepted", {{"request", 2}})["key"].AsUint() == run->key);
    EXPECT(peer.IsQuiet() && !run->IsFinished());
    FrameSet set;
    peer.Say(Header(3, 9, kHeld | kLastOfSet));
    EXPECT(mailbox->Take(set) && set.Header().number == 9);
    EXPECT(peer.NextOp() == "ack");

    // Restarted: open with what holds, live, subscribe, in this order; requests are lost; what waited goes last.
    peer.Say(Header(3, 10, kLastOfSet));
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    const RunPtr late = peer.session->Ask("sky", RunOptions());
    peer.Greet("b");
    EXPECT(run->IsFinished(&outcome) && outcome.outcome == "failed" && outcome.fault.code == kLinkLost);
    EXPECT(unheard->IsFinished() && !late->IsFinished());
    const Value opened = peer.Answer("open", "opened", {{"number", 1}});
    EXPECT(opened["params"]["blur"].AsNumber() == 0.2 && !opened.Has("replace"));
    EXPECT(peer.Answer("live", "ok")["on"].AsBool());
    peer.Answer("subscribe", "subscribed", {{"number", 1}});
    EXPECT(peer.Answer("run", "accepted", {{"request", 1}})["key"].AsUint() == late->key);
    // The last picture of before is still to be shown, but not acked to a bridge that never sent it.
    EXPECT(mailbox->Take(set) && set.Header().number == 10 && peer.IsQuiet());
    EXPECT(!peer.Say(Header(3, 1, kLastOfSet)) && !mailbox->Take(set));  // the old number means nothing
    peer.Say(Header(1, 1, kLastOfSet));
    EXPECT(mailbox->Take(set) && peer.Next()["stream"].AsUint() == 1);
}

void Faults() {
    Peer peer;
    peer.Greet();
    const MailboxPtr mailbox = peer.Subscribe("sky", 3);
    FrameHeader bad = Header(3, 1, kLastOfSet);
    bad.row_pitch = 8;
    EXPECT(!peer.Say(bad) && peer.session->Dropped() == 1);  // one frame costs itself alone
    EXPECT(!peer.Say(Value::Map({{"op", "ok"}, {"id", 99999}})));
    EXPECT(peer.session->MessageCame(ToBuffer({0x93, 1, 2, 3})).code == kNotMsgpack);
    peer.session->LinkEnded(Fault());
    EXPECT(!peer.session->WantsLink() && mailbox->Ended().code == kNotMsgpack);

    for (const int code : {401, 402, 409, 601, 603, 407}) {
        Peer other;
        other.Greet();
        EXPECT(other.Say(Value::Map({{"op", "error"}, {"code", code}, {"message", "no"}, {"fatal", true}})).code == code);
        other.session->LinkEnded(Fault(kLinkLost, "closed"));
        EXPECT(other.session->WantsLink() == (code >= 600 || code == 407));
    }
    // The session looks at the clock itself: what is too soon counts from before that, what is late enough from after it.
    Peer silent;
    Clock::time_point before = Clock::now();
    silent.session->LinkOpened();
    EXPECT(!silent.session->Watch(before));
    EXPECT(silent.session->Watch(Clock::now() + std::chrono::seconds(11)).code == kLinkLost);
    before = Clock::now();
    silent.Greet();
    EXPECT(!silent.session->Watch(before + std::chrono::seconds(14)) && silent.IsQuiet());
    const Clock::time_point asked = Clock::now() + std::chrono::seconds(16);
    EXPECT(!silent.session->Watch(asked) && silent.NextOp() == "ping");
    EXPECT(!silent.session->Watch(asked + std::chrono::seconds(4)));
    EXPECT(silent.session->Watch(asked + std::chrono::seconds(6)).code == kLinkLost);

    const RunPtr run = silent.session->Ask("sky", RunOptions());
    EXPECT(silent.NextOp() == "run");
    before = Clock::now();
    silent.session->LinkEnded(Fault(kLinkLost, "cut"));
    silent.session->Watch(before + std::chrono::seconds(29));
    EXPECT(!run->IsFinished());
    silent.session->Watch(Clock::now() + std::chrono::seconds(31));
    EXPECT(run->IsFinished());
}

void Lossless() {
    Peer peer;
    peer.Greet();
    const MailboxPtr mailbox = peer.SubscribeToAll("shot", 3);
    SequenceOptions shot;
    shot.frames = 6;
    const RunPtr run = peer.session->AskSequence("shot", shot);
    const Value asked = peer.Next();
    EXPECT(asked["op"].AsText() == "sequence");
    FrameSet set;
    for (uint32_t number = 1; number <= 3; ++number) {
        FrameHeader header = Header(3, number, kLastOfSet);
        header.request = 9;
        header.index = number - 1;
        peer.Say(header);
    }
    // Whose they are is not known yet: nothing is thrown away.
    const Clock::time_point soon = Clock::now() + std::chrono::milliseconds(20);
    EXPECT(peer.session->WaitForIndex(run, mailbox, 0, soon, set).code == kTimedOut);
    EXPECT(peer.IsQuiet());
    peer.Say(Value::Map({{"op", "accepted"}, {"id", asked["id"]}, {"request", 9}}));
    const Clock::time_point later = Clock::now() + std::chrono::seconds(20);
    EXPECT(!peer.session->WaitForIndex(run, mailbox, 0, later, set) && set.Header().number == 1);
    EXPECT(peer.Next()["number"].AsUint() == 1);

    // After a cut: the first that it has no ack of comes again. What is here is passed over, what was acked is acked again.
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    peer.Greet("a", true);
    EXPECT(peer.NextOp() == "sequence" && peer.IsQuiet());
    for (uint32_t number = 1; number <= 4; ++number) {
        FrameHeader header = Header(3, number, kLastOfSet);
        header.request = 9;
        header.index = number - 1;
        peer.Say(header);
    }
    EXPECT(peer.Next()["number"].AsUint() == 1 && peer.IsQuiet());
    FrameHeader held = Header(3, 4, kLastOfSet | kHeld);
    held.request = 9;
    peer.Say(held);
    for (uint32_t index = 1; index < 4; ++index) {
        EXPECT(!peer.session->WaitForIndex(run, mailbox, index, later, set) && set.Header().index == index);
        EXPECT(peer.Next()["number"].AsUint() == index + 1);
    }
    peer.Say(Value::Map({{"op", "finished"}, {"request", 9}, {"key", static_cast<unsigned long long>(run->key)},
                         {"outcome", "failed"}, {"code", 504}, {"message", "no"}, {"frames", 4}, {"number", 4}}));
    const Fault fault = peer.session->WaitForIndex(run, mailbox, 4, later, set);
    EXPECT(fault.code == 504 && fault.message == "frame 4 (5 of 6) of shot: the sequence ended failed: no");
    EXPECT(peer.IsQuiet());  // the held one was taken, and not acked
}

void Rest() {
    Peer peer;
    peer.Greet();
    const MailboxPtr mailbox = peer.SubscribeToAll("shot", 3);
    SequenceOptions shot;
    shot.frames = 6;
    shot.first = 100;
    const RunPtr run = peer.session->AskSequence("shot", shot);
    const auto say = [&](uint32_t number, uint32_t index) {
        FrameHeader header = Header(3, number, kLastOfSet);
        header.request = 9;
        header.index = index;
        peer.Say(header);
    };
    peer.Answer("sequence", "accepted", {{"request", 9}});
    say(1, 0);
    say(2, 1);
    FrameSet set;
    const Clock::time_point later = Clock::now() + std::chrono::seconds(20);
    EXPECT(!peer.session->WaitForIndex(run, mailbox, 0, later, set) && peer.Next()["number"].AsUint() == 1);

    // Another bridge, which counts requests and sets anew, asked for what is missing: also for what came and wasn't taken.
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    peer.Greet("b", false);
    EXPECT(run->IsFinished());
    const Clock::time_point soon = Clock::now() + std::chrono::milliseconds(20);
    EXPECT(peer.session->WaitForIndex(run, mailbox, 1, soon, set).code == kTimedOut);
    peer.Answer("subscribe", "subscribed", {{"number", 3}});
    const Value asked = peer.Answer("sequence", "accepted", {{"request", 9}});
    EXPECT(asked["first"].AsInt() == 101 && asked["frames"].AsUint() == 5);
    for (uint32_t index = 0; index < 5; ++index) say(index + 1, index);
    for (uint32_t index = 1; index < 6; ++index) {
        EXPECT(!peer.session->WaitForIndex(run, mailbox, index, later, set) && set.Header().index == index - 1);
        EXPECT(peer.Next()["number"].AsUint() == index);
    }

    // All are made, two wait here, and the bridge is another one: those two are made there.
    peer.Say(Value::Map({{"op", "finished"}, {"request", 9}, {"key", static_cast<unsigned long long>(run->key)},
                         {"outcome", "done"}, {"frames", 5}, {"number", 5}}));
    const RunPtr done = peer.session->AskSequence("shot", shot);
    peer.Answer("sequence", "accepted", {{"request", 9}});
    for (uint32_t index = 0; index < 6; ++index) say(index + 6, index);
    peer.Say(Value::Map({{"op", "finished"}, {"request", 9}, {"key", static_cast<unsigned long long>(done->key)},
                         {"outcome", "done"}, {"frames", 6}, {"number", 11}}));
    for (uint32_t index = 0; index < 4; ++index) {
        EXPECT(!peer.session->WaitForIndex(done, mailbox, index, later, set));
        EXPECT(peer.Next()["number"].AsUint() == index + 6);
    }
    const auto next_bridge = [&](const char* boot, const RunPtr& asked_for, uint32_t index) {
        peer.session->LinkEnded(Fault(kLinkLost, "cut"));
        peer.Greet(boot, false);
        const Clock::time_point soon_again = Clock::now() + std::chrono::milliseconds(20);
        const Fault told = peer.session->WaitForIndex(asked_for, mailbox, index, soon_again, set);
        peer.Answer("subscribe", "subscribed", {{"number", 3}});
        return told;
    };
    const uint64_t key = done->key;
    EXPECT(next_bridge("b2", done, 4).code == kTimedOut);
    const Value rest = peer.Answer("sequence", "accepted", {{"request", 1}});
    EXPECT(rest["first"].AsInt() == 104 && rest["frames"].AsUint() == 2);
    EXPECT(done->key != key);  // the old one may still be known

    // One that ends in order says so: the next one is asked.
    peer.Say(Value::Map({{"op", "finished"}, {"request", 1}, {"key", static_cast<unsigned long long>(done->key)},
                         {"outcome", "cancelled"}, {"code", 601}, {"message", "bye"}, {"frames", 0}, {"number", 0}}));
    const Clock::time_point shortly = Clock::now() + std::chrono::milliseconds(20);
    EXPECT(peer.session->WaitForIndex(done, mailbox, 4, shortly, set).code == kTimedOut && peer.IsQuiet());
    EXPECT(next_bridge("b3", done, 4).code == kTimedOut);
    EXPECT(peer.Answer("sequence", "accepted", {{"request", 2}})["frames"].AsUint() == 2);

    // What is cancelled stays so, and a number of the bridge before is told to nobody.
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    peer.session->Cancel(done);
    peer.Greet("b4", false);
    const Fault ended = peer.session->WaitForIndex(done, mailbox, 4, later, set);
    EXPECT(ended.message.find("frame 104 (5 of 6) of shot: ") == 0);
    peer.Answer("subscribe", "subscribed", {{"number", 3}});
    EXPECT(peer.IsQuiet());

    // Whoever gave it pictures frame by frame has to begin anew.
    shot.images = {"plate"};
    const RunPtr plates = peer.session->AskSequence("shot", shot);
    peer.Answer("sequence", "accepted", {{"request", 10}});
    peer.session->LinkEnded(Fault(kLinkLost, "cut"));
    peer.Greet("c", false);
    const Fault fault = peer.session->WaitForIndex(plates, mailbox, 0, later, set);
    EXPECT(fault.code == kLinkLost && fault.message.find("frame 100 (1 of 6) of shot: ") == 0);
}

void Bounds() {
    Outbox outbox(100);
    EXPECT(!outbox.Push(std::vector<uint8_t>(1)));  // no link
    const uint64_t link = outbox.Restart();
    EXPECT(outbox.Push(std::vector<uint8_t>(60), link) && !outbox.Push(std::vector<uint8_t>(41)));
    std::vector<uint8_t> message;
    EXPECT(outbox.Wait(message, link) && message.size() == 60 && outbox.Push(std::vector<uint8_t>(100)));
    EXPECT(!outbox.Push({}, link + 1));
    outbox.Stop();
    EXPECT(!outbox.Wait(message, link));

    Backoff backoff(std::chrono::milliseconds(50), std::chrono::milliseconds(2000), 12345);
    long long most = 50;
    for (int at = 0; at < 20; ++at, most = most * 2 < 2000 ? most * 2 : 2000) {
        const long long wait = backoff.Next().count();
        EXPECT(wait >= most / 2 && wait <= most);
    }
    backoff.Reset();
    EXPECT(backoff.Next().count() <= 50);

    BufferPool pool(2);
    Buffer first = pool.Take(1000);
    const uint8_t* const place = first.Data();
    pool.Give(std::move(first));
    EXPECT(pool.Take(10).Data() != place);  // a small message doesn't take a picture's memory
    EXPECT(pool.Take(900).Data() == place && pool.Reused() == 1);
    Value deep;
    EXPECT(DecodeMap(ByteView("\x81\xa1" "a\x91\x01", 5), deep, MsgPackLimits{1, 10}).code == kMessageTooComplex);
}

}  // namespace

int main() {
    Credit();
    Torn();
    Memory();
    Values();
    Waiting();
    Restart();
    Faults();
    Lossless();
    Rest();
    Bounds();
    if (wrong == 0) std::cout << "every rule holds" << std::endl;
    return wrong != 0;
}
