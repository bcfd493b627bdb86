using System;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace TexBridge
{
    /// <summary>The link over TCP: each message after its u32 little-endian length.</summary>
    public sealed class TcpTransport : LinkTransport
    {
        readonly Socket socket;

        public TcpTransport(LinkAddress address, int timeoutMs, WaitHandle cancel)
        {
            socket = Connect(address, timeoutMs, cancel);
        }

        /// <summary>A connected socket that sends small messages at once.</summary>
        /// <exception cref="LinkLostException">Nobody is there.</exception>
        internal static Socket Connect(LinkAddress address, int timeoutMs, WaitHandle cancel)
        {
            Socket made = null;
            try
            {
                IPAddress ip;
                if (!IPAddress.TryParse(address.Host, out ip)) ip = Resolve(address.Host);
                made = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                var connecting = made.BeginConnect(new IPEndPoint(ip, address.Port), null, null);
                if (WaitHandle.WaitAny(new[] { connecting.AsyncWaitHandle, cancel }, timeoutMs) != 0)
                    throw new LinkLostException("no bridge answers at " + address + " within " + timeoutMs + " ms");
                made.EndConnect(connecting);
                made.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
                return made;
            }
            catch (Exception error)
            {
                if (made != null) made.Close();
                if (error is LinkLostException) throw;
                throw new LinkLostException("no bridge answers at " + address + ": " + error.Message, error);
            }
        }

        // 127.0.0.1 before ::1: the bridge listens on the former unless it is told otherwise.
        static IPAddress Resolve(string host)
        {
            var all = Dns.GetHostAddresses(host);
            foreach (var address in all)
                if (address.AddressFamily == AddressFamily.InterNetwork) return address;
            if (all.Length == 0) throw new LinkLostException("no machine is called " + host);
            return all[0];
        }

        public override void ReadAll(ILinkReceiver receiver)
        {
            var decoder = new LengthDecoder(LargestMessage);
            try
            {
                while (true)
                {
                    var count = socket.Receive(
                        decoder.Target, decoder.TargetOffset, decoder.TargetCount, SocketFlags.None);
                    if (count == 0) throw new LinkLostException("the bridge closed the link");
                    if (decoder.Received(count)) receiver.Received(ref decoder.Body, decoder.Count);
                }
            }
            catch (SocketException error)
            {
                throw new LinkLostException("the link was cut: " + error.Message, error);
            }
            catch (ObjectDisposedException error)
            {
                throw new LinkLostException("the link was closed", error);
            }
        }

        protected override void Write(byte[] messages, int count)
        {
            for (var sent = 0; sent < count;)
                sent += socket.Send(messages, sent, count - sent, SocketFlags.None);
        }

        protected override void CloseSocket()
        {
            Close(socket);
        }

        internal static void Close(Socket socket)
        {
            try
            {
                socket.Shutdown(SocketShutdown.Both); // wakes a Receive on systems where Close alone does not
            }
            catch (SocketException)
            {
                // it is closed already
            }
            catch (ObjectDisposedException)
            {
                // it is closed already
            }
            socket.Close();
        }
    }
}
