#include "Core/TcpClient.h"

namespace texbridge {

std::chrono::milliseconds Backoff::Next() {
    chance_ ^= chance_ << 13;  // xorshift: any spread will do
    chance_ ^= chance_ >> 17;
    chance_ ^= chance_ << 5;
    const auto half = next_.count() / 2;
    const std::chrono::milliseconds wait(next_.count() - half + static_cast<int64_t>(chance_ % static_cast<uint32_t>(half + 1)));
    next_ = next_ * 2 < last_ ? next_ * 2 : last_;
    return wait;
}

TcpClient::TcpClient(std::shared_ptr<Session> session, TcpOptions options)
    : session_(std::move(session)), options_(std::move(options)) {}

void TcpClient::Start() {
    if (thread_.joinable()) return;
    is_over_ = false;
    thread_ = std::thread([this] { Run(); });
}

void TcpClient::Stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        is_over_ = true;
        stopped_.notify_all();
        socket_.Shutdown();
    }
    if (thread_.joinable()) thread_.join();
}

void TcpClient::Run() {
    const auto now = Clock::now().time_since_epoch().count();
    Backoff backoff(options_.first_retry, options_.last_retry, static_cast<uint32_t>(now ^ (now >> 32)));
    while (!is_over_) {
        const uint64_t links_before = session_->GetOutbox()->Link();
        bool was_greeted = false;
        const Fault ended = RunLink(was_greeted);
        if (session_->GetOutbox()->Link() != links_before) session_->LinkEnded(ended);
        if (!session_->WantsLink()) return;
        session_->Watch(Clock::now());
        if (was_greeted) backoff.Reset();
        std::unique_lock<std::mutex> lock(mutex_);
        stopped_.wait_for(lock, backoff.Next(), [this] { return is_over_.load(); });
    }
}

Fault TcpClient::RunLink(bool& was_greeted) {
    if (Fault fault = socket_.Connect(options_.host, options_.port, options_.connect_limit, is_over_)) return fault;
    {
        // `Stop` may have come before there was anything to shut down.
        std::lock_guard<std::mutex> lock(mutex_);
        if (is_over_) return Fault(kLinkLost, "stopped");
    }
    const uint64_t link = session_->LinkOpened();
    std::thread writer([this, link] { Write(link); });
    LengthDecoder decoder(static_cast<uint32_t>(session_->Options().max_total_bytes), session_->GetPool().get());
    Fault fault;
    while (!fault && !is_over_) {
        size_t room = 0;
        uint8_t* to = decoder.Writable(room);
        const int count = socket_.Receive(to, room < options_.most_received ? room : options_.most_received,
                                          std::chrono::milliseconds(250));
        if (count < 0) {
            fault = Fault(kLinkLost, "the bridge closed the link");
        } else if (count == 0) {
            fault = session_->Watch(Clock::now());
        } else {
            session_->Heard();
            Buffer message;
            bool is_whole = false;
            fault = decoder.Advance(static_cast<size_t>(count), message, is_whole);
            if (!fault && is_whole) fault = session_->MessageCame(std::move(message));
            was_greeted = was_greeted || session_->IsConnected();
        }
    }
    socket_.Shutdown();
    session_->GetOutbox()->Stop();
    writer.join();
    return fault ? fault : Fault(kLinkLost, "stopped");
}

void TcpClient::Write(uint64_t link) {
    std::vector<uint8_t> message, bytes;
    while (session_->GetOutbox()->Wait(message, link)) {
        bytes.resize(4);  // length and message in one segment
        WriteU32(bytes.data(), static_cast<uint32_t>(message.size()));
        bytes.insert(bytes.end(), message.begin(), message.end());
        if (!socket_.SendAll(ByteView(bytes))) {
            socket_.Shutdown();
            return;
        }
    }
}

}  // namespace texbridge
