namespace TexBridge
{
    /// <summary>How a client connects.</summary>
    public sealed class ClientOptions
    {
        public string Address = "127.0.0.1:9402";

        /// <summary>The bridge's secret, if it has one.</summary>
        public string Token;

        /// <summary>Who this is, for people.</summary>
        public string Client = "texbridge-unity 0.1.0";

        /// <summary>The largest message that the bridge shall send whole; 0: any.</summary>
        public uint MaxMessageBytes;

        /// <summary>Say that this is the bridge's own host. Subscriptions then may ask for shared memory.</summary>
        public bool SharedMemory = true;

        /// <summary>Tell of `finished` and `progress` of live generations too.</summary>
        public bool LiveEvents;

        /// <summary>So long a message waits for its answer, and connecting for its welcome.</summary>
        public int TimeoutMs = 10000;
    }
}
