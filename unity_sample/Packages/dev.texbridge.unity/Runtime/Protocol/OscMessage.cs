using System.Collections.Generic;

namespace TexBridge
{
    /// <summary>What an OSC datagram holds: a message, or a bundle of them.</summary>
    public abstract class OscPacket
    {
    }

    /// <summary>A message. Arguments: int, float, string (s, S), byte[] (b), long (h), double (d), ulong (t), bool (T, F),
    /// null (N), OscImpulse (I), OscColor (r), char (c). Brackets of arrays stand in Tags alone.</summary>
    public sealed class OscMessage : OscPacket
    {
        public string Address;
        public string Tags;
        public readonly List<object> Arguments = new List<object>();
    }

    public sealed class OscBundle : OscPacket
    {
        /// <summary>64-bit NTP time; 1 means at once.</summary>
        public ulong TimeTag = 1;

        public readonly List<OscPacket> Elements = new List<OscPacket>();
    }

    /// <summary>`I`: an argument without a value.</summary>
    public sealed class OscImpulse
    {
        public static readonly OscImpulse Value = new OscImpulse();
    }

    public struct OscColor
    {
        public byte R, G, B, A;

        public OscColor(byte r, byte g, byte b, byte a)
        {
            R = r;
            G = g;
            B = b;
            A = a;
        }
    }
}
