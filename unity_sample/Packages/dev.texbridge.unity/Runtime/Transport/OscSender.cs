using System;
using System.Net;
using System.Net.Sockets;

namespace TexBridge
{
    /// <summary>Sends OSC to a bridge over UDP. What was sent last is in one buffer, used again.</summary>
    public sealed class OscSender : IDisposable
    {
        public const int Port = 9400;

        readonly Socket socket;

        /// <summary>Begin a message with `Writer.Begin`, add its arguments, then `Send`.</summary>
        public readonly OscWriter Writer = new OscWriter();

        public OscSender(string host, int port)
        {
            IPAddress address;
            if (!IPAddress.TryParse(host, out address)) address = Dns.GetHostAddresses(host)[0];
            socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(new IPEndPoint(address, port));
        }

        /// <summary>Send what the writer holds. False if nobody listens there: UDP may say so, or not.</summary>
        public bool Send()
        {
            Writer.End();
            try
            {
                return socket.Send(Writer.Bytes, 0, Writer.Count, SocketFlags.None) == Writer.Count;
            }
            catch (SocketException)
            {
                return false; // the answer to an earlier datagram: nobody listens there (yet)
            }
            finally
            {
                Writer.Clear();
            }
        }

        /// <summary>Send one address without arguments, such as a run.</summary>
        public bool Send(string address)
        {
            Writer.Begin(address, "");
            return Send();
        }

        public bool Send(string address, float value)
        {
            Writer.Begin(address, "f");
            Writer.Float(value);
            return Send();
        }

        public bool Send(string address, int value)
        {
            Writer.Begin(address, "i");
            Writer.Int(value);
            return Send();
        }

        public bool Send(string address, string value)
        {
            Writer.Begin(address, "s");
            Writer.Text(value);
            return Send();
        }

        /// <summary>A colour with its alpha, or a vec4.</summary>
        public bool Send(string address, float x, float y, float z, float w)
        {
            Writer.Begin(address, "ffff");
            Writer.Float(x);
            Writer.Float(y);
            Writer.Float(z);
            Writer.Float(w);
            return Send();
        }

        public void Dispose()
        {
            socket.Close();
        }
    }
}
