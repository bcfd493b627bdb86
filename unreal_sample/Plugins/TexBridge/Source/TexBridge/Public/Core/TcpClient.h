// A session over TCP, with threads of its own: connects, reads, and connects again.
#pragma once

#include "Core/Session.h"
#include "Core/Socket.h"

#include <thread>

namespace texbridge {

/// Waits that grow from one try to the next, with chance in them, so that a hall of engines doesn't come at once.
class TEXBRIDGE_API Backoff {
public:
    Backoff(std::chrono::milliseconds first, std::chrono::milliseconds last, uint32_t chance)
        : first_(first), last_(last), next_(first), chance_(chance | 1u) {}

    /// Half to all of 50, 100, 200 ... up to the last.
    std::chrono::milliseconds Next();
    void Reset() { next_ = first_; }

private:
    std::chrono::milliseconds first_, last_, next_;
    uint32_t chance_;
};

struct TcpOptions {
    std::string host = "127.0.0.1";
    uint16_t port = 9402;
    std::chrono::milliseconds connect_limit{5000};
    std::chrono::milliseconds first_retry{50};
    std::chrono::milliseconds last_retry{2000};
    size_t most_received = size_t{1} << 24;  ///< bytes taken from the socket at once
};

/// Runs a session over TCP from `Start` to `Stop`. It goes on for as long as it makes sense to connect again.
class TEXBRIDGE_API TcpClient {
public:
    TcpClient(std::shared_ptr<Session> session, TcpOptions options);
    ~TcpClient() { Stop(); }
    TcpClient(const TcpClient&) = delete;
    TcpClient& operator=(const TcpClient&) = delete;

    void Start();
    /// Ends the link; returns when no thread of this runs any more.
    void Stop();

private:
    void Run();
    Fault RunLink(bool& was_greeted);
    void Write(uint64_t link);

    const std::shared_ptr<Session> session_;
    const TcpOptions options_;
    TcpSocket socket_;
    std::thread thread_;
    std::atomic<bool> is_over_{true};
    std::mutex mutex_;
    std::condition_variable stopped_;
};

}  // namespace texbridge
