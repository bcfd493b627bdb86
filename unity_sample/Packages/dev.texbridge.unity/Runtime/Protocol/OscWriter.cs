using System;
using System.Collections.Generic;
using System.Text;

namespace TexBridge
{
    /// <summary>Writes OSC 1.0 messages and bundles into a buffer that is used again. Begin a message with its address and
    /// its type tags, then add the arguments in their order.</summary>
    public sealed class OscWriter
    {
        /// <summary>The largest UDP datagram that the bridge takes.</summary>
        public const int MaxBytes = 65507;

        readonly byte[] single = new byte[4];
        readonly float[] singles = new float[1];
        int element = -1;

        public byte[] Bytes = new byte[512];

        public int Count { get; private set; }

        public void Clear()
        {
            Count = 0;
            element = -1;
        }

        /// <summary>Begin a bundle: the messages that follow are one moment. A time tag of 1 means at once.</summary>
        public void BeginBundle(ulong timeTag = 1)
        {
            Clear();
            Text("#bundle");
            Big(timeTag, 8);
            element = 0;
        }

        /// <summary>Begin a message. `tags` are without the comma: "fff", "s", "".</summary>
        public void Begin(string address, string tags)
        {
            if (element < 0) Count = 0;
            else
            {
                EndElement();
                element = Count;
                Big(0, 4);
            }
            Text(address);
            Put((byte)',');
            for (var place = 0; place < tags.Length; place++) Put((byte)tags[place]);
            Pad();
        }

        /// <summary>All is written; needed after the last message of a bundle.</summary>
        public void End()
        {
            if (element >= 0) EndElement();
        }

        public void Int(int value)
        {
            Big((uint)value, 4);
        }

        public void Long(long value)
        {
            Big((ulong)value, 8);
        }

        public void Unsigned(ulong value)
        {
            Big(value, 8);
        }

        public void Float(float value)
        {
            singles[0] = value;
            Buffer.BlockCopy(singles, 0, single, 0, 4);
            if (BitConverter.IsLittleEndian) Array.Reverse(single);
            for (var place = 0; place < 4; place++) Put(single[place]);
        }

        public void Double(double value)
        {
            Big((ulong)BitConverter.DoubleToInt64Bits(value), 8);
        }

        public void Color(OscColor value)
        {
            Put(value.R);
            Put(value.G);
            Put(value.B);
            Put(value.A);
        }

        public void Text(string value)
        {
            var bytes = Encoding.UTF8.GetByteCount(value);
            Reserve(bytes);
            Encoding.UTF8.GetBytes(value, 0, value.Length, Bytes, Count);
            Count += bytes;
            Pad();
        }

        public void Blob(byte[] value)
        {
            Big((uint)value.Length, 4);
            Reserve(value.Length);
            Buffer.BlockCopy(value, 0, Bytes, Count, value.Length);
            Count += value.Length;
            while (Count % 4 != 0) Put(0);
        }

        /// <summary>Write what an `OscReader` gave.</summary>
        public void Packet(OscPacket packet)
        {
            Clear();
            Whole(packet);
        }

        void Whole(OscPacket packet)
        {
            var bundle = packet as OscBundle;
            if (bundle != null)
            {
                Text("#bundle");
                Big(bundle.TimeTag, 8);
                foreach (var inner in bundle.Elements)
                {
                    var begin = Count;
                    Big(0, 4);
                    Whole(inner);
                    PutSize(begin);
                }
                return;
            }
            var message = (OscMessage)packet;
            Text(message.Address);
            Text("," + message.Tags);
            var place = 0;
            foreach (var tag in message.Tags)
            {
                if (tag == '[' || tag == ']') continue;
                Argument(tag, message.Arguments[place++]);
            }
        }

        void Argument(char tag, object value)
        {
            switch (tag)
            {
                case 'i': Int((int)value); break;
                case 'f': Float((float)value); break;
                case 'd': Double((double)value); break;
                case 'h': Long((long)value); break;
                case 't': Unsigned((ulong)value); break;
                case 's': case 'S': Text((string)value); break;
                case 'b': Blob((byte[])value); break;
                case 'c': Big((char)value, 4); break;
                case 'r': Color((OscColor)value); break;
                case 'T': case 'F': case 'N': case 'I': break;
                default: throw new ArgumentException("the type tag " + tag);
            }
        }

        void EndElement()
        {
            if (element > 0) PutSize(element);
        }

        void PutSize(int at)
        {
            var size = Count - at - 4;
            Bytes[at] = (byte)(size >> 24);
            Bytes[at + 1] = (byte)(size >> 16);
            Bytes[at + 2] = (byte)(size >> 8);
            Bytes[at + 3] = (byte)size;
        }

        void Big(ulong value, int bytes)
        {
            for (var shift = (bytes - 1) * 8; shift >= 0; shift -= 8) Put((byte)(value >> shift));
        }

        // A NUL at least, and up to a multiple of four.
        void Pad()
        {
            do Put(0); while (Count % 4 != 0);
        }

        void Put(byte value)
        {
            Reserve(1);
            Bytes[Count++] = value;
        }

        void Reserve(int more)
        {
            if (Count + more > Bytes.Length) Array.Resize(ref Bytes, Math.Max(Bytes.Length * 2, Count + more));
        }
    }
}
