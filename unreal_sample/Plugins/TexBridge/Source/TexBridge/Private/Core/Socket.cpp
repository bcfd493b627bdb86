#include "Core/Socket.h"

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

namespace texbridge {
namespace {

#ifdef _WIN32
using Handle = SOCKET;
constexpr int kSendFlags = 0;
bool IsPending() { return WSAGetLastError() == WSAEWOULDBLOCK; }
std::string Why() { return "error " + std::to_string(WSAGetLastError()); }
int Poll(WSAPOLLFD& watched, int wait_ms) { return WSAPoll(&watched, 1, wait_ms); }
using Watched = WSAPOLLFD;
void CloseHandleOf(Handle handle) { closesocket(handle); }
void ShutdownOf(Handle handle) { shutdown(handle, SD_BOTH); }
void NonBlocking(Handle handle) {
    u_long on = 1;
    ioctlsocket(handle, FIONBIO, &on);
}
#else
using Handle = int;
#ifdef MSG_NOSIGNAL
constexpr int kSendFlags = MSG_NOSIGNAL;
#else
constexpr int kSendFlags = 0;
#endif
bool IsPending() { return errno == EINPROGRESS || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }
std::string Why() { return std::strerror(errno); }
int Poll(pollfd& watched, int wait_ms) { return poll(&watched, 1, wait_ms); }
using Watched = pollfd;
void CloseHandleOf(Handle handle) { close(handle); }
void ShutdownOf(Handle handle) { shutdown(handle, SHUT_RDWR); }
void NonBlocking(Handle handle) { fcntl(handle, F_SETFL, fcntl(handle, F_GETFL, 0) | O_NONBLOCK); }
#endif

void Option(Handle handle, int level, int name) {
    const int on = 1;
    setsockopt(handle, level, name, reinterpret_cast<const char*>(&on), sizeof on);
}

/// True when it is ready, or over; false after the time.
bool IsReady(Handle handle, short events, int wait_ms) {
    Watched watched{};
    watched.fd = handle;
    watched.events = events;
    return Poll(watched, wait_ms) != 0;
}

int ErrorOf(Handle handle) {
    int error = 0;
#ifdef _WIN32
    int size = sizeof error;
#else
    socklen_t size = sizeof error;
#endif
    getsockopt(handle, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size);
    return error;
}

}  // namespace

TcpSocket::TcpSocket() {
#ifdef _WIN32
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);  // counted: each has its clean-up below
#endif
}

TcpSocket::~TcpSocket() {
    Close();
#ifdef _WIN32
    WSACleanup();
#endif
}

Fault TcpSocket::Connect(const std::string& host, uint16_t port, std::chrono::milliseconds limit,
                         const std::atomic<bool>& is_over) {
    Close();
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0 || found == nullptr)
        return Fault(kLinkLost, "no such host: " + host);
    std::string why = "it took too long";
    const auto until = std::chrono::steady_clock::now() + limit;
    for (const addrinfo* address = found; address != nullptr && !is_over; address = address->ai_next) {
        const Handle handle = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
        if (handle == static_cast<Handle>(-1)) {
            why = Why();
            continue;
        }
        NonBlocking(handle);
        Option(handle, IPPROTO_TCP, TCP_NODELAY);
        Option(handle, SOL_SOCKET, SO_KEEPALIVE);
#ifdef SO_NOSIGPIPE
        Option(handle, SOL_SOCKET, SO_NOSIGPIPE);
#endif
        bool is_there = connect(handle, address->ai_addr, static_cast<int>(address->ai_addrlen)) == 0;
        if (!is_there && IsPending()) {
            bool is_ready = false;
            while (!is_ready && !is_over && std::chrono::steady_clock::now() < until) is_ready = IsReady(handle, POLLOUT, 50);
            const int error = is_ready ? ErrorOf(handle) : -1;
            is_there = error == 0;
            if (error > 0) why = "error " + std::to_string(error);
        } else if (!is_there) {
            why = Why();
        }
        if (is_there) {
            handle_ = static_cast<std::intptr_t>(handle);
            break;
        }
        CloseHandleOf(handle);
    }
    freeaddrinfo(found);
    if (is_over) Close();
    if (handle_ == -1) return Fault(kLinkLost, "no bridge answers at " + host + ":" + std::to_string(port) + ": " + why);
    return Fault();
}

int TcpSocket::Receive(uint8_t* to, size_t room, std::chrono::milliseconds wait) {
    const Handle handle = static_cast<Handle>(handle_.load());
    if (!IsReady(handle, POLLIN, static_cast<int>(wait.count()))) return 0;
    const int most = room > (size_t{1} << 24) ? 1 << 24 : static_cast<int>(room);
    const auto count = recv(handle, reinterpret_cast<char*>(to), static_cast<size_t>(most), 0);
    if (count > 0) return static_cast<int>(count);
    return count < 0 && IsPending() ? 0 : -1;
}

bool TcpSocket::SendAll(ByteView bytes) {
    const Handle handle = static_cast<Handle>(handle_.load());
    while (bytes.size > 0) {
        const int most = bytes.size > (size_t{1} << 24) ? 1 << 24 : static_cast<int>(bytes.size);
        const auto count = send(handle, reinterpret_cast<const char*>(bytes.data), static_cast<size_t>(most), kSendFlags);
        if (count > 0) {
            bytes = bytes.From(static_cast<size_t>(count));
        } else if (count == 0 || !IsPending()) {
            return false;
        } else {
            IsReady(handle, POLLOUT, 200);
        }
    }
    return true;
}

void TcpSocket::Shutdown() {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::intptr_t handle = handle_;
    if (handle != -1) ShutdownOf(static_cast<Handle>(handle));
}

void TcpSocket::Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::intptr_t handle = handle_.exchange(-1);
    if (handle != -1) CloseHandleOf(static_cast<Handle>(handle));
}

}  // namespace texbridge
