// The newest set of a stream's frames, and what the bridge is still owed: protocols/engine-link.md, Delivery and credit.
#pragma once

#include "Core/FrameHeader.h"
#include "Core/SharedMemory.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>

namespace texbridge {

using Clock = std::chrono::steady_clock;

/// Messages that wait to be sent on the present link. Any thread.
class TEXBRIDGE_API Outbox {
public:
    explicit Outbox(size_t most_bytes) : most_(most_bytes) {}

    /// A new link: what waited for the one before is gone. Gives the link's number, from 1.
    uint64_t Restart();
    /// No link: messages are dropped until the next one.
    void Stop();
    /// Only for link number `link`; 0 is "the present one". False: there is none, another one, or too much waits.
    bool Push(std::vector<uint8_t> message, uint64_t link = 0);
    /// Wait for the next message of a link. False: that link is over.
    bool Wait(std::vector<uint8_t>& message, uint64_t link);
    /// The next message if there is one.
    bool Take(std::vector<uint8_t>& message);
    uint64_t Link() const;

private:
    mutable std::mutex mutex_;
    std::condition_variable moved_;
    std::deque<std::vector<uint8_t>> waiting_;
    size_t bytes_ = 0;
    size_t most_;
    uint64_t link_ = 0;
    bool is_open_ = false;
};

/// One texture. Its bytes stay as they are for as long as somebody holds it, then its memory is used again.
class TEXBRIDGE_API Frame {
public:
    Frame(const FrameHeader& head, ByteView payload, Buffer storage, std::shared_ptr<BufferPool> pool);
    ~Frame();
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    const FrameHeader header;
    ByteView Payload() const { return payload_; }

private:
    ByteView payload_;
    Buffer storage_;
    std::shared_ptr<BufferPool> pool_;
};

using FramePtr = std::shared_ptr<const Frame>;

/// The frames of all outputs of one result.
struct FrameSet {
    std::vector<FramePtr> frames;

    bool IsEmpty() const { return frames.empty(); }
    /// The first frame's header; a set is never empty where it is given.
    const FrameHeader& Header() const { return frames.front()->header; }
    /// The frame of an output, null if it isn't there.
    FramePtr Output(uint8_t output) const;
};

/// One subscription's newest set; of a lossless one every set, the oldest first. `Take` it at the begin of each picture of
/// yours: that also tells the bridge that the next one may come. Any thread.
class TEXBRIDGE_API Mailbox {
public:
    /// `most_waiting` 0: the newest set alone; else so many sets wait here: those that the credit lets come, and held ones.
    Mailbox(std::string stream_name, std::shared_ptr<Outbox> outbox, size_t most_waiting = 0);

    const std::string& Stream() const { return stream_; }

    /// The newest set since the last `Take`; the next one, if it is lossless. False: there is none.
    bool Take(FrameSet& set);
    /// Wait for a set; it stays for `Take`. False: none came by then, or the subscription is over.
    bool Wait(Clock::time_point until);
    /// Sets that came, and those of them that a newer one replaced before anybody took them.
    void Counts(uint64_t& came, uint64_t& replaced) const;
    /// Why there will be no more; no fault while the subscription holds.
    Fault Ended() const;

    // --- for the session ---
    /// Holds on this link: full credit. `is_new`: it is another subscription, whose numbers begin anew.
    void Subscribed(uint32_t number, uint64_t link, bool is_new);
    void Came(FramePtr frame);
    void Torn(const FrameHeader& header);  ///< a frame that could not be copied: its set is dropped, and acked
    void End(const Fault& why);

private:
    void Ack();
    void Keep();
    bool IsEmpty() const { return most_waiting_ == 0 ? newest_.IsEmpty() : queue_.empty(); }

    const std::string stream_;
    const std::shared_ptr<Outbox> outbox_;
    mutable std::mutex mutex_;
    std::condition_variable moved_;
    const size_t most_waiting_;
    FrameSet coming_;
    FrameSet newest_;
    std::deque<FrameSet> queue_;  // of a lossless one
    uint32_t kept_ = 0;           // the highest number of those that came to the queue
    uint32_t acked_ = 0;          // the last one that was taken out of it
    bool is_torn_ = false;  // a frame of set number `torn_`, which is in work, could not be copied
    uint32_t torn_ = 0;
    uint32_t number_ = 0;
    uint64_t link_ = 0;
    uint32_t owed_ = 0;  // the newest number that came whole and isn't acked
    uint64_t came_ = 0;
    uint64_t replaced_ = 0;
    Fault ended_;
};

using MailboxPtr = std::shared_ptr<Mailbox>;

}  // namespace texbridge
