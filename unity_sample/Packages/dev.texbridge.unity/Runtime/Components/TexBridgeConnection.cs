using System;
using System.Collections.Generic;
using UnityEngine;

namespace TexBridge
{
    /// <summary>The link to a bridge: one for a scene, shared by all other components. It connects by itself, again and
    /// again, and what happens on it is told on the main thread.</summary>
    [DefaultExecutionOrder(-100)]
    [AddComponentMenu("TexBridge/Connection")]
    public sealed class TexBridgeConnection : MonoBehaviour
    {
        static readonly List<TexBridgeConnection> all = new List<TexBridgeConnection>();

        [Tooltip("127.0.0.1:9402 (TCP), or ws://127.0.0.1:9401/link (WebSocket)")]
        [SerializeField] string address = "127.0.0.1:9402";

        [Tooltip("The bridge's secret, if it has one")]
        [SerializeField] string token = "";

        [Tooltip("Take pictures from memory that is shared with a bridge on this machine, where that can be had")]
        [SerializeField] bool sharedMemory = true;

        TexBridgeClient client;

        /// <summary>The first enabled connection of the loaded scenes, or null.</summary>
        public static TexBridgeConnection First { get { return all.Count > 0 ? all[0] : null; } }

        /// <summary>Told on the main thread, as all three events are.</summary>
        public event Action<Welcome> Connected;

        public event Action<Exception> Disconnected;

        /// <summary>`changed`, `progress`, and the `finished` of others.</summary>
        public event Action<Map> Message;

        /// <summary>The client itself; null while disabled.</summary>
        public TexBridgeClient Client { get { return client; } }

        public bool IsConnected { get { return client != null && client.IsConnected; } }

        /// <summary>Where the bridge is. A change connects anew.</summary>
        public string Address
        {
            get { return address; }
            set
            {
                if (address == value) return;
                address = value;
                if (client == null) return;
                Close();
                Open();
            }
        }

        public string Token { get { return token; } set { token = value; } }

        public bool SharedMemory { get { return sharedMemory; } set { sharedMemory = value; } }

        /// <summary>Close every connection: the editor calls it before it throws the scripts away, since threads and
        /// sockets would outlive them.</summary>
        public static void CloseAll()
        {
            foreach (var connection in new List<TexBridgeConnection>(all)) connection.Close();
        }

        void OnEnable()
        {
            all.Add(this);
            Application.runInBackground = true; // without the focus too: this may be a projector
            Open();
        }

        void OnDisable()
        {
            all.Remove(this);
            Close();
        }

        void Open()
        {
            try
            {
                client = new TexBridgeClient(new ClientOptions
                {
                    Address = address, Token = token, SharedMemory = sharedMemory,
                    Client = "texbridge-unity 0.1.0 (Unity " + Application.unityVersion + ")",
                });
                client.Start();
            }
            catch (ArgumentException error)
            {
                client = null;
                Debug.LogError("TexBridge: " + error.Message, this);
            }
        }

        void Close()
        {
            var old = client;
            client = null;
            if (old != null) old.Dispose();
        }

        void Update()
        {
            LinkEvent happened;
            while (client != null && client.TryTakeEvent(out happened)) Tell(happened);
        }

        void Tell(LinkEvent happened)
        {
            switch (happened.Kind)
            {
                case LinkEventKind.Connected:
                    if (Connected != null) Connected(happened.Welcome);
                    break;
                case LinkEventKind.Disconnected:
                    if (happened.IsFinal) Debug.LogError("TexBridge: " + happened.Error.Message, this);
                    if (Disconnected != null) Disconnected(happened.Error);
                    break;
                case LinkEventKind.Error:
                    Debug.LogWarning("TexBridge: " + happened.Error.Message, this);
                    break;
                default:
                    if (Message != null) Message(happened.Message);
                    break;
            }
        }
    }
}
