using System;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Threading;

namespace TexBridge
{
    /// <summary>The link over WebSocket (`ws` and `wss`), subprotocol `texbridge.v1`, binary messages only. Not
    /// ClientWebSocket: that leaves Nagle's algorithm on, which held each request up for 40 ms behind an ack, and makes about
    /// 1 KB of garbage per picture.</summary>
    public sealed class WebSocketTransport : LinkTransport
    {
        const string Subprotocol = "texbridge.v1";
        const string AcceptGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        const int MostHeadBytes = 16 * 1024;

        readonly Socket socket;
        readonly Stream stream;
        readonly byte[] incoming = new byte[16 * 1024];
        readonly byte[] control = new byte[WebSocketFrames.MostHeaderBytes + 125];
        readonly object writeGate = new object();
        readonly RandomNumberGenerator random = RandomNumberGenerator.Create();
        readonly byte[] maskBytes = new byte[4];
        byte[] outgoing = new byte[4096];
        int begin, end;

        public WebSocketTransport(LinkAddress address, int timeoutMs, WaitHandle cancel)
        {
            socket = TcpTransport.Connect(address, timeoutMs, cancel);
            try
            {
                socket.ReceiveTimeout = timeoutMs;
                stream = new NetworkStream(socket, false);
                if (address.WebSocket.Scheme == "wss")
                {
                    var secure = new SslStream(stream, false);
                    secure.AuthenticateAsClient(address.WebSocket.Host);
                    stream = secure;
                }
                Greet(address);
                socket.ReceiveTimeout = 0;
            }
            catch (Exception error)
            {
                socket.Close();
                if (error is ProtocolException) throw;
                throw new LinkLostException("no bridge answers at " + address + ": " + error.Message, error);
            }
        }

        void Greet(LinkAddress address)
        {
            var nonce = new byte[16];
            random.GetBytes(nonce);
            var key = Convert.ToBase64String(nonce);
            var request = "GET " + address.WebSocket.PathAndQuery + " HTTP/1.1\r\nHost: " + address.WebSocket.Authority
                + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + key
                + "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " + Subprotocol + "\r\n\r\n";
            var bytes = Encoding.ASCII.GetBytes(request);
            stream.Write(bytes, 0, bytes.Length);
            stream.Flush();
            var head = new StringBuilder();
            while (!EndsHead(head))
            {
                if (head.Length > MostHeadBytes) throw new IOException("the answer is no WebSocket's");
                head.Append((char)Next());
            }
            CheckAnswer(head.ToString().Split(new[] { "\r\n" }, StringSplitOptions.RemoveEmptyEntries), key);
        }

        static bool EndsHead(StringBuilder head)
        {
            var count = head.Length;
            return count >= 4 && head[count - 1] == '\n' && head[count - 2] == '\r' && head[count - 3] == '\n';
        }

        static void CheckAnswer(string[] lines, string key)
        {
            string accept = null, chosen = null;
            foreach (var line in lines)
            {
                var colon = line.IndexOf(':');
                if (colon < 0) continue;
                var name = line.Substring(0, colon).Trim().ToLowerInvariant();
                if (name == "sec-websocket-accept") accept = line.Substring(colon + 1).Trim();
                if (name == "sec-websocket-protocol") chosen = line.Substring(colon + 1).Trim();
            }
            if (!lines[0].StartsWith("HTTP/1.1 101", StringComparison.Ordinal)) throw new IOException(lines[0]);
            using (var hash = SHA1.Create())
                if (accept != Convert.ToBase64String(hash.ComputeHash(Encoding.ASCII.GetBytes(key + AcceptGuid))))
                    throw new IOException("the answer is to somebody else");
            if (chosen != Subprotocol) throw new IOException("the other end speaks no " + Subprotocol);
        }

        public override void ReadAll(ILinkReceiver receiver)
        {
            var buffer = new byte[64 * 1024];
            var count = 0;
            var inMessage = false;
            try
            {
                while (true)
                {
                    var header = new WebSocketHeader();
                    while (!header.Feed(Next()))
                    {
                    }
                    if (header.Opcode >= WebSocketFrames.Close)
                    {
                        Control(header.Opcode, (int)header.Count);
                        continue;
                    }
                    if (header.Opcode == WebSocketFrames.Text) throw Bad("the bridge sent text");
                    if (inMessage != (header.Opcode == WebSocketFrames.Continuation)) throw Bad("fragments out of order");
                    if (header.Count > LargestMessage - count)
                        throw new ProtocolException(ProtocolException.MessageTooLarge,
                            "a message is over " + LargestMessage, "message_too_large");
                    var whole = count + (int)header.Count;
                    if (buffer.Length < whole) Array.Resize(ref buffer, whole);
                    Fill(buffer, count, (int)header.Count);
                    count = whole;
                    inMessage = !header.IsFinal;
                    if (inMessage) continue;
                    if (count > 0) receiver.Received(ref buffer, count);
                    count = 0;
                }
            }
            catch (IOException error)
            {
                if (error is LinkLostException) throw;
                throw new LinkLostException("the link was cut: " + error.Message, error);
            }
            catch (ObjectDisposedException error)
            {
                throw new LinkLostException("the link was closed", error);
            }
        }

        void Control(int opcode, int count)
        {
            // A pong goes out of the same buffer; the payload comes in where it will be masked.
            var at = WebSocketFrames.HeaderBytes(count);
            lock (writeGate)
            {
                Fill(control, at, count);
                if (opcode == WebSocketFrames.Pong) return;
                var code = opcode == WebSocketFrames.Close && count >= 2 ? control[at] << 8 | control[at + 1] : 0;
                var reason = opcode == WebSocketFrames.Close && count > 2
                    ? Encoding.UTF8.GetString(control, at + 2, count - 2)
                    : "";
                var answer = opcode == WebSocketFrames.Ping ? WebSocketFrames.Pong : WebSocketFrames.Close;
                stream.Write(control, 0, WebSocketFrames.Write(control, 0, answer, count, Mask()));
                stream.Flush();
                if (opcode == WebSocketFrames.Ping) return;
                // 4000 + an error's code; the words are in the reason.
                if (code >= 4100 && code < 4700)
                    throw new ProtocolException(code - 4000, reason.Length > 0 ? reason : "closed with " + code);
                throw new LinkLostException("the bridge closed the link (" + code + "): " + reason);
            }
        }

        protected override void Write(byte[] messages, int count)
        {
            lock (writeGate)
            {
                var filled = 0;
                for (var at = 0; at < count;)
                {
                    var length = (int)LittleEndian.U32(messages, at);
                    var header = WebSocketFrames.HeaderBytes(length);
                    var needed = filled + header + length;
                    if (needed > outgoing.Length) Array.Resize(ref outgoing, Math.Max(outgoing.Length * 2, needed));
                    Buffer.BlockCopy(messages, at + 4, outgoing, filled + header, length);
                    filled += WebSocketFrames.Write(outgoing, filled, WebSocketFrames.Binary, length, Mask());
                    at += 4 + length;
                }
                stream.Write(outgoing, 0, filled);
                stream.Flush();
            }
        }

        protected override void CloseSocket()
        {
            TcpTransport.Close(socket);
        }

        uint Mask()
        {
            random.GetBytes(maskBytes);
            return LittleEndian.U32(maskBytes, 0);
        }

        byte Next()
        {
            if (begin == end) Refill();
            return incoming[begin++];
        }

        // What was read too far first, then straight into the message.
        void Fill(byte[] target, int offset, int count)
        {
            var had = Math.Min(count, end - begin);
            Buffer.BlockCopy(incoming, begin, target, offset, had);
            begin += had;
            while (had < count)
            {
                var read = stream.Read(target, offset + had, count - had);
                if (read <= 0) throw new LinkLostException("the bridge closed the link");
                had += read;
            }
        }

        void Refill()
        {
            begin = 0;
            end = stream.Read(incoming, 0, incoming.Length);
            if (end <= 0)
            {
                end = 0;
                throw new LinkLostException("the bridge closed the link");
            }
        }

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.NotMsgPack, text, "not_msgpack");
        }
    }
}
