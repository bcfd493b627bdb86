// A reader of shared memory made of the plugin's core. It prints the UDP port of its bell, takes "file nonce slots
// stride" from standard input and reads the newest picture it is rung for, until WANTED were taken. Every picture is
// full of its own number. At its end it prints how many it took, dropped and found wrong. Linux alone: it is a test.
#include "Core/SharedMemory.h"

#include <arpa/inet.h>
#include <iostream>
#include <sys/socket.h>
#include <unistd.h>

using namespace texbridge;

int main(int, char** arguments) {
    const int ear = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(ear, reinterpret_cast<sockaddr*>(&address), size) != 0) return 2;
    getsockname(ear, reinterpret_cast<sockaddr*>(&address), &size);
    std::cout << ntohs(address.sin_port) << std::endl;

    std::string file;
    uint64_t nonce = 0;
    uint32_t slots = 0, stride = 0;
    std::cin >> file >> nonce >> slots >> stride;
    MemoryReader memory;
    if (const Fault fault = memory.Open(file, nonce, slots, stride)) {
        std::cout << "refused: " << fault.message << std::endl;
        return 1;
    }
    const unsigned long wanted = std::strtoul(arguments[1], nullptr, 10);
    unsigned long accepted = 0, dropped = 0, wrong = 0;
    std::vector<uint8_t> picture;
    uint8_t message[65536];
    while (accepted < wanted) {
        ssize_t received = recv(ear, message, sizeof message, 0);
        for (ssize_t more = 0; more >= 0;) {
            more = recv(ear, message, sizeof message, MSG_DONTWAIT);  // the newest there is
            if (more >= 0) received = more;
        }
        FrameHeader bell;
        ByteView none;
        if (received < 0 || DecodeFrame(ByteView(message, static_cast<size_t>(received)), bell, none)) continue;
        picture.resize(bell.payload_bytes);
        if (memory.Copy(bell, picture.data()) != CopyResult::kWhole) {
            ++dropped;
            continue;
        }
        ++accepted;
        bool is_wrong = false;
        for (size_t at = 0; at < picture.size(); at += 4) is_wrong = is_wrong || ReadU32(picture.data() + at) != bell.number;
        wrong += is_wrong ? 1 : 0;
    }
    std::cout << "{\"accepted\": " << accepted << ", \"dropped\": " << dropped << ", \"wrong\": " << wrong << "}" << std::endl;
    close(ear);
    return 0;
}
