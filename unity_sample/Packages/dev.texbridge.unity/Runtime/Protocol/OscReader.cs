using System;
using System.Text;

namespace TexBridge
{
    /// <summary>Reads OSC 1.0 datagrams, strictly: whatever the bytes, a packet or error 108.
    /// Source: protocols/osc.md and vectors/osc.</summary>
    public sealed class OscReader
    {
        const int MaxDepth = 4;
        const int MaxMessages = 1024;

        static readonly UTF8Encoding StrictText = new UTF8Encoding(false, true);
        static readonly Encoding Latin1 = Encoding.GetEncoding(28591);

        byte[] data;
        int messages;

        /// <exception cref="ProtocolException">108.</exception>
        public OscPacket Read(byte[] bytes, int count)
        {
            data = bytes;
            messages = 0;
            return Packet(0, count, 0);
        }

        OscPacket Packet(int begin, int end, int depth)
        {
            if (end - begin < 4) throw Bad("a packet of " + (end - begin) + " bytes");
            if (data[begin] == '#') return Bundle(begin, end, depth + 1);
            if (data[begin] != '/') throw Bad("an address begins with /");
            if (++messages > MaxMessages) throw Bad("more than " + MaxMessages + " messages");
            var at = begin;
            var message = new OscMessage { Address = Text(ref at, end) };
            if (at == end) // senders of before OSC 1.0 leave the tags out
            {
                message.Tags = "";
                return message;
            }
            var tags = Text(ref at, end);
            if (tags.Length == 0 || tags[0] != ',') throw Bad("the type tags begin with a comma");
            message.Tags = tags.Substring(1);
            var arrays = 0;
            foreach (var tag in message.Tags)
            {
                if (tag == '[') arrays++;
                else if (tag == ']')
                {
                    if (--arrays < 0) throw Bad("an array that was not opened");
                }
                else message.Arguments.Add(Argument(tag, ref at, end));
            }
            if (arrays != 0) throw Bad("an array that is not closed");
            if (at != end) throw Bad((end - at) + " bytes follow the arguments");
            return message;
        }

        OscBundle Bundle(int begin, int end, int depth)
        {
            if (depth > MaxDepth) throw Bad("bundles more than " + MaxDepth + " deep");
            var at = begin;
            if (Text(ref at, end) != "#bundle") throw Bad("a bundle begins with #bundle");
            var bundle = new OscBundle { TimeTag = Big(ref at, end, 8) };
            while (at < end)
            {
                var size = (int)Big(ref at, end, 4);
                if (size <= 0 || size % 4 != 0 || size > end - at) throw Bad("an element of " + size + " bytes");
                bundle.Elements.Add(Packet(at, at + size, depth));
                at += size;
            }
            return bundle;
        }

        object Argument(char tag, ref int at, int end)
        {
            switch (tag)
            {
                case 'i': return (int)Big(ref at, end, 4);
                case 'f': return BitConverter.ToSingle(BitConverter.GetBytes((int)Big(ref at, end, 4)), 0);
                case 'd': return BitConverter.Int64BitsToDouble((long)Big(ref at, end, 8));
                case 'h': return (long)Big(ref at, end, 8);
                case 't': return Big(ref at, end, 8);
                case 's': return Text(ref at, end);
                case 'S': return Text(ref at, end);
                case 'b': return Blob(ref at, end);
                case 'T': return true;
                case 'F': return false;
                case 'N': return null;
                case 'I': return OscImpulse.Value;
                case 'c': return (char)(byte)Big(ref at, end, 4);
                case 'r':
                    var colour = Big(ref at, end, 4);
                    return new OscColor(
                        (byte)(colour >> 24), (byte)(colour >> 16), (byte)(colour >> 8), (byte)colour);
                default: throw Bad("the type tag " + tag);
            }
        }

        byte[] Blob(ref int at, int end)
        {
            var count = (int)Big(ref at, end, 4);
            if (count < 0 || count > end - at) throw Bad("a blob of " + count + " bytes");
            var blob = new byte[count];
            Buffer.BlockCopy(data, at, blob, 0, count);
            at = Math.Min(at + (count + 3) / 4 * 4, end); // some senders leave the last blob's padding out
            return blob;
        }

        string Text(ref int at, int end)
        {
            var zero = at;
            while (zero < end && data[zero] != 0) zero++;
            if (zero == end) throw Bad("a string without its NUL");
            var text = Decode(at, zero - at);
            at = at + (zero - at + 4) / 4 * 4;
            if (at > end) throw Bad("a string without its padding");
            return text;
        }

        // OscJack sends `é` as byte 0xE9: UTF-8 if it is that, Latin-1 if it is not.
        string Decode(int offset, int count)
        {
            try
            {
                return StrictText.GetString(data, offset, count);
            }
            catch (ArgumentException)
            {
                return Latin1.GetString(data, offset, count);
            }
        }

        ulong Big(ref int at, int end, int count)
        {
            if (count > end - at) throw Bad("the packet ends early");
            ulong value = 0;
            for (var place = 0; place < count; place++) value = value << 8 | data[at++];
            return value;
        }

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.BadOsc, text, "bad_osc");
        }
    }
}
