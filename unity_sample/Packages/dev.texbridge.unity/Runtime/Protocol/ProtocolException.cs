using System;

namespace TexBridge
{
    /// <summary>An error of the contract: one that the bridge told of, or bytes that break the rules.
    /// Numbers and words: protocols/errors.md.</summary>
    public sealed class ProtocolException : Exception
    {
        public const int HelloExpected = 101;
        public const int NotMsgPack = 102;
        public const int BadFrame = 103;
        public const int BadPart = 104;
        public const int MessageTooLarge = 105;
        public const int MessageTooComplex = 106;
        public const int BadMessage = 107;
        public const int BadOsc = 108;
        public const int BadLength = 111;
        public const int SessionTaken = 409;
        public const int Draining = 601;

        /// <summary>The number, such as 302.</summary>
        public int Code { get; private set; }

        /// <summary>The stable word, such as "out_of_range"; empty if nobody said one.</summary>
        public string Name { get; private set; }

        /// <summary>The message's field or the parameter at fault, or null.</summary>
        public string Field { get; private set; }

        public ProtocolException(int code, string message, string name = "", string field = null) : base(message)
        {
            Code = code;
            Name = name;
            Field = field;
        }

        /// <summary>Whether connecting again may help: not after a wrong token, or when the session went elsewhere,
        /// or when the two ends don't speak the same language.</summary>
        public bool MayPass
        {
            get { return Code == 601 || Code == 602 || Code == 603 || Code == 407; }
        }
    }
}
