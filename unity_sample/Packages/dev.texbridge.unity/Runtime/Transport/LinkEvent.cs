using System;

namespace TexBridge
{
    public enum LinkEventKind
    {
        /// <summary>A link is there; `Welcome` is set.</summary>
        Connected,

        /// <summary>It is gone; `Error` says why. The client connects again by itself, unless `IsFinal`.</summary>
        Disconnected,

        /// <summary>`changed`, `progress` or `finished` of a request that isn't this client's own: see `Message`.</summary>
        Message,

        /// <summary>An error that answers nothing that somebody waits for.</summary>
        Error,
    }

    /// <summary>What happened on the link, to be taken by whoever owns the client, in Unity on the main thread.</summary>
    public sealed class LinkEvent
    {
        public LinkEventKind Kind;
        public Welcome Welcome;
        public Map Message;
        public Exception Error;
        public bool IsFinal;
    }
}
