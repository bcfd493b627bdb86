using System;
using System.Net.WebSockets;
using System.Threading;

namespace TexBridge
{
    /// <summary>The link over WebSocket, subprotocol `texbridge.v1`, binary messages only.</summary>
    public sealed class WebSocketTransport : LinkTransport
    {
        const string Subprotocol = "texbridge.v1";

        readonly ClientWebSocket socket = new ClientWebSocket();
        readonly CancellationTokenSource closing = new CancellationTokenSource();
        readonly object gate = new object();
        bool closed;

        public WebSocketTransport(LinkAddress address, int timeoutMs)
        {
            socket.Options.AddSubProtocol(Subprotocol);
            try
            {
                using (var limit = new CancellationTokenSource(timeoutMs))
                    socket.ConnectAsync(address.WebSocket, limit.Token).GetAwaiter().GetResult();
            }
            catch (Exception error)
            {
                socket.Dispose();
                throw new LinkLostException("no bridge answers at " + address + ": " + error.Message, error);
            }
        }

        public override void ReadAll(ILinkReceiver receiver)
        {
            var buffer = new byte[64 * 1024];
            var count = 0;
            try
            {
                while (true)
                {
                    if (count == buffer.Length) Array.Resize(ref buffer, checked(buffer.Length * 2));
                    var space = new ArraySegment<byte>(buffer, count, buffer.Length - count);
                    var result = socket.ReceiveAsync(space, closing.Token).GetAwaiter().GetResult();
                    if (result.MessageType == WebSocketMessageType.Close) throw Closed();
                    if (result.MessageType == WebSocketMessageType.Text)
                        throw new ProtocolException(
                            ProtocolException.NotMsgPack, "the bridge sent text", "not_msgpack");
                    count += result.Count;
                    if (count > LargestMessage)
                        throw new ProtocolException(ProtocolException.MessageTooLarge,
                            "a message is over " + LargestMessage, "message_too_large");
                    if (!result.EndOfMessage) continue;
                    if (count > 0) receiver.Received(ref buffer, count);
                    if (buffer == null || buffer.Length == 0) buffer = new byte[64 * 1024];
                    count = 0;
                }
            }
            catch (WebSocketException error)
            {
                throw new LinkLostException("the link was cut: " + error.Message, error);
            }
            catch (OperationCanceledException error)
            {
                throw new LinkLostException("the link was closed", error);
            }
            catch (ObjectDisposedException error)
            {
                throw new LinkLostException("the link was closed", error);
            }
        }

        // 4000 + an error's code; the words are in the reason.
        Exception Closed()
        {
            var code = socket.CloseStatus.HasValue ? (int)socket.CloseStatus.Value : 0;
            var reason = socket.CloseStatusDescription ?? "";
            if (code >= 4100 && code < 4700)
                return new ProtocolException(code - 4000, reason.Length > 0 ? reason : "closed with " + code);
            return new LinkLostException("the bridge closed the link (" + code + "): " + reason);
        }

        protected override void Write(byte[] messages, int count)
        {
            for (var at = 0; at < count;)
            {
                var length = (int)LittleEndian.U32(messages, at);
                var message = new ArraySegment<byte>(messages, at + 4, length);
                socket.SendAsync(message, WebSocketMessageType.Binary, true, closing.Token).GetAwaiter().GetResult();
                at += 4 + length;
            }
        }

        protected override void CloseSocket()
        {
            lock (gate)
            {
                if (closed) return;
                closed = true;
            }
            try
            {
                closing.Cancel();
            }
            catch (AggregateException)
            {
                // what was waiting has ended already
            }
            socket.Abort();
            socket.Dispose();
        }
    }
}
