// A TCP connection that blocks, with limits: BSD sockets, or Winsock on Windows.
#pragma once

#include "Core/Bytes.h"
#include "Core/Fault.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace texbridge {

class TEXBRIDGE_API TcpSocket {
public:
    TcpSocket();
    ~TcpSocket();
    TcpSocket(const TcpSocket&) = delete;
    TcpSocket& operator=(const TcpSocket&) = delete;

    /// Connect; every address that the name has is tried. Ends early with a fault when `is_over` becomes true, but not
    /// while the system looks the name up.
    Fault Connect(const std::string& host, uint16_t port, std::chrono::milliseconds limit, const std::atomic<bool>& is_over);

    /// Wait for bytes and take some. More than 0: so many; 0: none came in time; under 0: the connection is over.
    int Receive(uint8_t* to, size_t room, std::chrono::milliseconds wait);

    /// Send all of it, however long that takes. False: the connection is over.
    bool SendAll(ByteView bytes);

    /// End the connection: whoever waits in `Receive` or `SendAll` returns. Any thread.
    void Shutdown();

private:
    void Close();

    // SOCKET is an unsigned pointer-sized number, a file descriptor an int; none is -1 on both.
    std::atomic<std::intptr_t> handle_{-1};
    std::mutex mutex_;  // a handle that was closed may be somebody else's: it is not shut down meanwhile
};

}  // namespace texbridge
