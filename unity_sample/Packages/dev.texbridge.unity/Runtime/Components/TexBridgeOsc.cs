using System.Net.Sockets;
using UnityEngine;

namespace TexBridge
{
    /// <summary>Sends OSC to a bridge: for controls where no link is needed, or to one on another machine that takes OSC
    /// alone.</summary>
    [AddComponentMenu("TexBridge/OSC")]
    public sealed class TexBridgeOsc : MonoBehaviour
    {
        [SerializeField] string host = "127.0.0.1";
        [SerializeField] int port = OscSender.Port;
        [SerializeField] string stream = "main";

        OscSender sender;

        public string Host { get { return host; } set { host = value; Close(); } }
        public int Port { get { return port; } set { port = value; Close(); } }
        public string Stream { get { return stream; } set { stream = value; } }

        /// <summary>What sends, for bundles and other types; null if the host has no address.</summary>
        public OscSender Sender
        {
            get
            {
                if (sender != null) return sender;
                try
                {
                    sender = new OscSender(host, port);
                }
                catch (SocketException error)
                {
                    Debug.LogError("TexBridge: " + host + ":" + port + ": " + error.Message, this);
                }
                return sender;
            }
        }

        /// <summary>Ask for one picture.</summary>
        public void Run()
        {
            if (Sender != null) Sender.Send(Address("run"));
        }

        /// <summary>A parameter in its own units, in a form that sliders' events take.</summary>
        public void SendNumber(string parameter, float value)
        {
            if (Sender != null) Sender.Send(Address(parameter), value);
        }

        /// <summary>A parameter as 0..1 of its range.</summary>
        public void SendNormalized(string parameter, float value)
        {
            if (Sender != null) Sender.Send(Address(parameter) + "/norm", value);
        }

        public void SendText(string parameter, string value)
        {
            if (Sender != null) Sender.Send(Address(parameter), value);
        }

        public void SendColour(string parameter, Color value)
        {
            if (Sender != null) Sender.Send(Address(parameter), value.r, value.g, value.b, value.a);
        }

        /// <summary>Everything stops now, for everybody.</summary>
        public void Panic()
        {
            if (Sender != null) Sender.Send("/texbridge/panic");
        }

        public void Resume()
        {
            if (Sender != null) Sender.Send("/texbridge/resume");
        }

        string Address(string name)
        {
            return "/texbridge/" + stream + "/" + name;
        }

        void OnDisable()
        {
            Close();
        }

        void Close()
        {
            if (sender != null) sender.Dispose();
            sender = null;
        }
    }
}
