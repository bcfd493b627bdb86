using System;
using System.IO;
using System.Threading;

namespace TexBridge
{
    /// <summary>The bridge can't be reached, has closed the link, or was restarted before it answered.</summary>
    public sealed class LinkLostException : IOException
    {
        public LinkLostException(string message, Exception inner = null) : base(message, inner)
        {
        }
    }

    /// <summary>Who takes the messages of a transport, on the thread that reads.</summary>
    public interface ILinkReceiver
    {
        /// <summary>One whole message: the first `count` bytes of the buffer. Whoever wants to keep the bytes puts another
        /// array in its place: nothing is copied.</summary>
        void Received(ref byte[] buffer, int count);
    }

    /// <summary>One connection that carries messages both ways. A thread of its own writes, so that sending never waits; the
    /// caller of `ReadAll` reads.</summary>
    public abstract class LinkTransport : IDisposable
    {
        /// <summary>The largest message that is taken.</summary>
        public const int LargestMessage = 512 * 1024 * 1024;

        readonly SendQueue queue = new SendQueue();
        Thread writer;

        /// <summary>Connect. Blocks for at most so long, or until `cancel` is set.</summary>
        /// <exception cref="LinkLostException">Nobody is there.</exception>
        /// <exception cref="ProtocolException">Somebody else is there.</exception>
        public static LinkTransport Open(LinkAddress address, int timeoutMs, WaitHandle cancel)
        {
            var transport = address.WebSocket != null
                ? (LinkTransport)new WebSocketTransport(address, timeoutMs, cancel)
                : new TcpTransport(address, timeoutMs, cancel);
            transport.writer = new Thread(transport.WriteAll) { IsBackground = true, Name = "texbridge write" };
            transport.writer.Start();
            return transport;
        }

        /// <summary>Queue one message. False if the other end doesn't read and too much waits, or the link is closed.</summary>
        public bool Send(byte[] data, int count)
        {
            return queue.Add(data, count);
        }

        /// <summary>Read until the end. Throws why it ended: LinkLostException or ProtocolException.</summary>
        public abstract void ReadAll(ILinkReceiver receiver);

        /// <summary>Write a run of messages, each after its u32 little-endian length.</summary>
        protected abstract void Write(byte[] messages, int count);

        protected abstract void CloseSocket();

        /// <summary>End the link; `ReadAll` then throws. Safe to call twice, from any thread.</summary>
        public void Dispose()
        {
            queue.Close();
            CloseSocket();
        }

        /// <summary>Wait until the writing thread has ended.</summary>
        public void Join(int timeoutMs)
        {
            writer.Join(timeoutMs);
        }

        void WriteAll()
        {
            try
            {
                byte[] messages;
                int count;
                while (queue.Take(out messages, out count)) Write(messages, count);
            }
            catch (Exception)
            {
                Dispose(); // the reading thread says why
            }
        }
    }
}
