using Unity.Collections;
using UnityEngine;
using UnityEngine.Rendering;

namespace TexBridge
{
    /// <summary>What a camera sees, or any RenderTexture, as a stream's image parameter: read back from the GPU without
    /// waiting for it, one picture under way at a time, the newest counts.</summary>
    [AddComponentMenu("TexBridge/Camera")]
    public sealed class TexBridgeCamera : MonoBehaviour
    {
        [Tooltip("Empty: the first one of the scene")]
        [SerializeField] TexBridgeConnection connection;

        [Tooltip("What is sent; empty: the target texture of the camera beside this component")]
        [SerializeField] RenderTexture source;
        [SerializeField] string stream = "main";
        [SerializeField] string parameter = "camera";
        [SerializeField] float picturesPerSecond = 30;

        [Tooltip("Switch it on if the bridge gets the picture upside down: some graphics APIs read the uppermost row first")]
        [SerializeField] bool uppermostRowFirst;

        byte[] pixels = new byte[0];
        PictureValue picture;
        float next;
        bool underWay;

        public RenderTexture Source { get { return source; } set { source = value; } }
        public string Stream { get { return stream; } set { stream = value; } }
        public string Parameter { get { return parameter; } set { parameter = value; } }
        public float PicturesPerSecond { get { return picturesPerSecond; } set { picturesPerSecond = value; } }
        public bool UppermostRowFirst { get { return uppermostRowFirst; } set { uppermostRowFirst = value; } }

        /// <summary>Pictures that were handed to the link, and those that were not: no link, or too much waits.</summary>
        public int Sent { get; private set; }

        public int NotSent { get; private set; }

        void OnEnable()
        {
            underWay = false;
            if (source != null) return;
            var camera = GetComponent<Camera>();
            if (camera != null) source = camera.targetTexture;
        }

        void LateUpdate()
        {
            if (connection == null) connection = TexBridgeConnection.First;
            if (underWay || source == null || connection == null || !connection.IsConnected) return;
            if (Time.unscaledTime < next) return;
            next = Time.unscaledTime + 1 / Mathf.Max(0.1f, picturesPerSecond);
            underWay = true;
            AsyncGPUReadback.Request(source, 0, TextureFormat.RGBA32, Send);
        }

        void Send(AsyncGPUReadbackRequest request)
        {
            underWay = false;
            if (this == null || !isActiveAndEnabled || connection == null || connection.Client == null) return;
            if (request.hasError)
            {
                NotSent++;
                return;
            }
            var data = request.GetData<byte>();
            if (pixels.Length != data.Length)
            {
                pixels = new byte[data.Length];
                picture = null;
            }
            data.CopyTo(pixels);
            if (picture == null || picture.Width != request.width || picture.BottomLeft == uppermostRowFirst)
                picture = PictureValue.Pixels(
                    pixels, request.width, request.height, PixelFormat.Rgba8, !uppermostRowFirst);
            if (connection.Client.Image(stream, parameter, picture)) Sent++;
            else NotSent++;
        }
    }
}
