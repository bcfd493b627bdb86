using System;
using System.Threading;

namespace TexBridge
{
    /// <summary>What waits to be written: two buffers that change places, one being filled while the other is written. Each
    /// message stands after its u32 little-endian length.</summary>
    public sealed class SendQueue
    {
        /// <summary>More than this doesn't wait: the other end has stopped reading.</summary>
        public const int MaxBytes = 64 * 1024 * 1024;

        readonly object gate = new object();
        byte[] filling = new byte[4096];
        byte[] writing = new byte[4096];
        int filled;
        bool closed;

        /// <summary>Copy a message to the end. False if it was not taken: closed, or too much waits.</summary>
        public bool Add(byte[] data, int count)
        {
            lock (gate)
            {
                if (closed || (filled > 0 && filled + count > MaxBytes)) return false;
                var needed = filled + 4 + count;
                if (needed > filling.Length) Array.Resize(ref filling, Math.Max(filling.Length * 2, needed));
                LittleEndian.Put32(filling, filled, (uint)count);
                Buffer.BlockCopy(data, 0, filling, filled + 4, count);
                filled = needed;
                Monitor.Pulse(gate);
                return true;
            }
        }

        /// <summary>Wait for something to write. False: closed. The bytes hold until the next call.</summary>
        public bool Take(out byte[] messages, out int count)
        {
            lock (gate)
            {
                while (filled == 0 && !closed) Monitor.Wait(gate);
                messages = filling;
                count = filled;
                filling = writing;
                writing = messages;
                filled = 0;
                return !closed;
            }
        }

        public void Close()
        {
            lock (gate)
            {
                closed = true;
                Monitor.PulseAll(gate);
            }
        }
    }
}
