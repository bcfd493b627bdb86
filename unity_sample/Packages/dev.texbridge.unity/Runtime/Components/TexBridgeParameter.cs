using UnityEngine;

namespace TexBridge
{
    /// <summary>One parameter of a stream, to be moved by sliders, scripts, animation clips or a Timeline. It is sent when it
    /// changes, at most once a frame, and again to a bridge that was restarted.</summary>
    [AddComponentMenu("TexBridge/Parameter")]
    public sealed class TexBridgeParameter : MonoBehaviour
    {
        public enum Kind { Number, Integer, Toggle, Text, Colour, Vector2, Vector3, Vector4 }

        [Tooltip("Empty: the first one of the scene")]
        [SerializeField] TexBridgeConnection connection;
        [SerializeField] string stream = "main";
        [SerializeField] string parameter = "noise";
        [SerializeField] Kind kind = Kind.Number;
        [SerializeField] float number;
        [SerializeField] string text = "";
        [SerializeField] Color colour = Color.white;
        [SerializeField] Vector4 vector;

        readonly ParameterSet values = new ParameterSet();
        ParameterValue last;
        TexBridgeConnection subscribedTo;
        bool sent;

        public string Stream { get { return stream; } set { stream = value; sent = false; } }
        public string Parameter { get { return parameter; } set { parameter = value; sent = false; } }

        /// <summary>A float; what an int, a toggle is made of too.</summary>
        public float Number
        {
            get { return number; }
            set
            {
                number = value;
                if (kind != Kind.Integer && kind != Kind.Toggle) kind = Kind.Number;
            }
        }

        public string Text { get { return text; } set { text = value; kind = Kind.Text; } }

        /// <summary>As people see it: the bridge takes sRGB-encoded numbers, which are Unity's Color fields.</summary>
        public Color Colour { get { return colour; } set { colour = value; kind = Kind.Colour; } }

        public Vector4 Vector { get { return vector; } set { vector = value; kind = Kind.Vector4; } }

        public Kind ValueKind { get { return kind; } set { kind = value; } }

        /// <summary>Sent in a frame's middle, so that textures that are shown at its end may have it.</summary>
        void Update()
        {
            if (connection == null) connection = TexBridgeConnection.First;
            if (connection == null || connection.Client == null) return;
            Listen();
            var now = Current();
            if (sent && now.Equals(last)) return;
            last = now;
            sent = true;
            values.Clear();
            connection.Client.Set(stream, values.Set(parameter, now));
        }

        void OnDisable()
        {
            if (subscribedTo != null) subscribedTo.Connected -= Again;
            subscribedTo = null;
            sent = false;
        }

        void Listen()
        {
            if (subscribedTo == connection) return;
            if (subscribedTo != null) subscribedTo.Connected -= Again;
            subscribedTo = connection;
            subscribedTo.Connected += Again;
        }

        void Again(Welcome welcome)
        {
            if (!welcome.Resumed) sent = false; // a new bridge begins with the workflow's own values
        }

        ParameterValue Current()
        {
            switch (kind)
            {
                case Kind.Integer: return Mathf.RoundToInt(number);
                case Kind.Toggle: return number >= 0.5f;
                case Kind.Text: return text;
                case Kind.Colour: return ParameterValue.Numbers(colour.r, colour.g, colour.b, colour.a);
                case Kind.Vector2: return ParameterValue.Numbers(vector.x, vector.y);
                case Kind.Vector3: return ParameterValue.Numbers(vector.x, vector.y, vector.z);
                case Kind.Vector4: return ParameterValue.Numbers(vector.x, vector.y, vector.z, vector.w);
                default: return number;
            }
        }
    }
}
