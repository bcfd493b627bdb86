#include "Core/Mailbox.h"

#include "Core/Value.h"

namespace texbridge {

uint64_t Outbox::Restart() {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.clear();
    bytes_ = 0;
    is_open_ = true;
    moved_.notify_all();
    return ++link_;
}

void Outbox::Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.clear();
    bytes_ = 0;
    is_open_ = false;
    moved_.notify_all();
}

bool Outbox::Push(std::vector<uint8_t> message, uint64_t link) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!is_open_ || (link != 0 && link != link_) || message.size() > most_ - bytes_) return false;
    bytes_ += message.size();
    waiting_.push_back(std::move(message));
    moved_.notify_all();
    return true;
}

bool Outbox::Wait(std::vector<uint8_t>& message, uint64_t link) {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait(lock, [&] { return !is_open_ || link != link_ || !waiting_.empty(); });
    if (!is_open_ || link != link_) return false;
    message = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= message.size();
    return true;
}

bool Outbox::Take(std::vector<uint8_t>& message) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_.empty()) return false;
    message = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= message.size();
    return true;
}

uint64_t Outbox::Link() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return link_;
}

Frame::Frame(const FrameHeader& head, ByteView payload, Buffer storage, std::shared_ptr<BufferPool> pool)
    : header(head), payload_(payload), storage_(std::move(storage)), pool_(std::move(pool)) {}

Frame::~Frame() {
    if (pool_) pool_->Give(std::move(storage_));
}

FramePtr FrameSet::Output(uint8_t output) const {
    for (const FramePtr& frame : frames)
        if (frame->header.output == output) return frame;
    return nullptr;
}

Mailbox::Mailbox(std::string stream_name, std::shared_ptr<Outbox> outbox, size_t most_waiting)
    : stream_(std::move(stream_name)), outbox_(std::move(outbox)), most_waiting_(most_waiting) {}

bool Mailbox::Take(FrameSet& set) {
    FrameSet old;  // freed outside the lock
    std::lock_guard<std::mutex> lock(mutex_);
    if (IsEmpty()) return false;
    old = std::move(set);
    if (most_waiting_ != 0) {
        set = std::move(queue_.front());
        queue_.pop_front();
        // A held set's ack would stand for sets before it that are still to come.
        if (!set.Header().Has(kHeld)) owed_ = acked_ = set.Header().number;
    } else {
        set = std::move(newest_);
        newest_ = FrameSet();
    }
    Ack();
    return true;
}

bool Mailbox::Wait(Clock::time_point until) {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait_until(lock, until, [&] { return !IsEmpty() || ended_; });
    return !IsEmpty();
}

void Mailbox::Counts(uint64_t& came, uint64_t& replaced) const {
    std::lock_guard<std::mutex> lock(mutex_);
    came = came_;
    replaced = replaced_;
}

Fault Mailbox::Ended() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return ended_;
}

void Mailbox::Subscribed(uint32_t number, uint64_t link, bool is_new) {
    std::lock_guard<std::mutex> lock(mutex_);
    number_ = number;
    link_ = link;
    owed_ = 0;
    coming_ = FrameSet();
    is_torn_ = false;
    if (!is_new) return;
    queue_.clear();
    kept_ = acked_ = 0;
}

void Mailbox::Came(FramePtr frame) {
    std::lock_guard<std::mutex> lock(mutex_);
    const FrameHeader& header = frame->header;
    // A set that was begun and broken off (blackout, panic) has no last frame: another number begins another set.
    if (!coming_.IsEmpty() && (coming_.Header().number != header.number || coming_.Output(header.output))) coming_ = FrameSet();
    const bool is_last = header.Has(kLastOfSet);
    const uint32_t number = header.number;
    coming_.frames.push_back(std::move(frame));
    if (!is_last) return;
    if (most_waiting_ != 0) {
        Keep();
        return;
    }
    // Any number that came is owed, also of one that is replaced now: an ack stands for all up to it, and 0 for none.
    if (number > owed_) owed_ = number;
    const bool is_torn = is_torn_ && torn_ == number;
    is_torn_ = false;
    if (is_torn) {
        coming_ = FrameSet();
        Ack();
        return;
    }
    ++came_;
    if (!newest_.IsEmpty()) ++replaced_;
    newest_ = std::move(coming_);
    coming_ = FrameSet();
    moved_.notify_all();
}

/// The set that came whole goes to the queue.
void Mailbox::Keep() {
    FrameSet set = std::move(coming_);
    coming_ = FrameSet();
    const FrameHeader& header = set.Header();
    if (!header.Has(kHeld)) {
        // After a cut the bridge goes on with the first set that it has no ack of: some of them are here.
        if (header.number <= kept_) {
            if (header.number <= acked_) owed_ = acked_;
            Ack();
            return;
        }
        kept_ = header.number;
    }
    ++came_;
    queue_.push_back(std::move(set));
    if (queue_.size() > most_waiting_) {  // more than the credit lets come
        queue_.pop_front();
        ++replaced_;
    }
    moved_.notify_all();
}

void Mailbox::Torn(const FrameHeader& header) {
    std::lock_guard<std::mutex> lock(mutex_);
    coming_ = FrameSet();
    torn_ = header.number;
    is_torn_ = !header.Has(kLastOfSet);
    if (is_torn_) return;
    // The slot is wanted back. What waits here was copied, so acking it with this one takes nothing away.
    if (header.number > owed_) owed_ = header.number;
    Ack();
}

void Mailbox::End(const Fault& why) {
    std::lock_guard<std::mutex> lock(mutex_);
    ended_ = why;
    moved_.notify_all();
}

void Mailbox::Ack() {
    if (owed_ == 0) return;
    std::vector<uint8_t> message;
    EncodeValue(Value::Map({{"op", "ack"}, {"stream", number_}, {"number", owed_}}), message);
    outbox_->Push(std::move(message), link_);
    owed_ = 0;
}

}  // namespace texbridge
