using System;

namespace TexBridge
{
    /// <summary>Where a bridge is: `127.0.0.1:9402` for TCP, `ws://127.0.0.1:9401/link` for WebSocket.</summary>
    public sealed class LinkAddress
    {
        public const int TcpPort = 9402;
        public const int WebSocketPort = 9401;

        public readonly string Host;
        public readonly int Port;

        /// <summary>The whole address of a WebSocket; null for TCP.</summary>
        public readonly Uri WebSocket;

        /// <exception cref="ArgumentException">It is no such address.</exception>
        public LinkAddress(string text)
        {
            text = (text ?? "").Trim();
            var hasScheme = text.IndexOf("://", StringComparison.Ordinal) >= 0;
            Uri uri;
            if (!Uri.TryCreate(hasScheme ? text : "tcp://" + text, UriKind.Absolute, out uri) || uri.Host.Length == 0)
                throw Bad(text);
            Host = uri.Host.Trim('[', ']');
            if (uri.Scheme == "ws" || uri.Scheme == "wss")
            {
                var builder = new UriBuilder(uri);
                if (builder.Path == "/" || builder.Path.Length == 0) builder.Path = "/link";
                if (uri.Scheme == "ws" && !HasPort(text)) builder.Port = WebSocketPort;
                WebSocket = builder.Uri;
                Port = WebSocket.Port;
            }
            else if (uri.Scheme == "tcp") Port = uri.Port > 0 ? uri.Port : TcpPort;
            else throw Bad(text);
        }

        public override string ToString()
        {
            return WebSocket != null ? WebSocket.ToString() : Host + ":" + Port;
        }

        static bool HasPort(string text)
        {
            var host = text.Substring(text.IndexOf("://", StringComparison.Ordinal) + 3);
            var slash = host.IndexOf('/');
            if (slash >= 0) host = host.Substring(0, slash);
            return host.LastIndexOf(':') > host.LastIndexOf(']');
        }

        static ArgumentException Bad(string text)
        {
            return new ArgumentException("'" + text + "' is no bridge's address: 127.0.0.1:9402 or ws://127.0.0.1:9401/link");
        }
    }
}
