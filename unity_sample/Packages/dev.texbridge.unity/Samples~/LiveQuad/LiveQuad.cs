using System.Collections.Generic;
using TexBridge;
using UnityEngine;

/// <summary>A quad with a live image, and a slider for each number of its workflow. Put it on an empty GameObject of an empty
/// scene and press Play: everything else it makes itself.</summary>
public sealed class LiveQuad : MonoBehaviour
{
    [SerializeField] string address = "127.0.0.1:9402";
    [SerializeField] string stream = "unity_live";
    [SerializeField] string workflow = "gradient";

    readonly ParameterSet values = new ParameterSet();
    readonly List<ParameterInfo> sliders = new List<ParameterInfo>();
    readonly Dictionary<string, float> positions = new Dictionary<string, float>();
    TexBridgeConnection connection;
    System.Threading.Tasks.Task<Described> described;
    float askAgainAt;
    string shown = "waiting for the bridge at ";

    void Start()
    {
        connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
        connection.Address = address;
        connection.Connected += welcome => described = connection.Client.DescribeStream(stream);
        shown += address;

        var camera = Camera.main;
        if (camera == null) camera = new GameObject("Camera").AddComponent<Camera>();
        camera.transform.position = new Vector3(0, 0, -1.2f);

        var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
        var surface = quad.GetComponent<Renderer>();
        surface.material = PictureMaterial.New();
        var texture = quad.AddComponent<TexBridgeTexture>();
        texture.Stream = stream;
        texture.Workflow = workflow;
        texture.SetSize(512, 512);
        texture.Target = surface;
        texture.Shown += header => shown = stream + " #" + header.Number + "  " + header.Width + " x " + header.Height
            + "  ComfyUI " + header.ComfyMicroseconds / 1000 + " ms, bridge " + header.BridgeMicroseconds / 1000 + " ms";
    }

    void Update()
    {
        if (described == null || !described.IsCompleted) return;
        var answer = described;
        if (answer.IsFaulted) // the stream isn't open yet: the texture opens it
        {
            if (connection.Client == null || Time.unscaledTime < askAgainAt) return;
            askAgainAt = Time.unscaledTime + 0.5f;
            described = connection.Client.DescribeStream(stream);
            return;
        }
        described = null;
        sliders.Clear();
        foreach (var parameter in answer.Result.Parameters)
        {
            if (parameter.Type != "float" || !parameter.Min.HasValue || !parameter.Max.HasValue) continue;
            sliders.Add(parameter);
            positions[parameter.Name] = System.Convert.ToSingle(parameter.Value ?? parameter.Default);
        }
    }

    void OnGUI()
    {
        GUILayout.Label(shown);
        foreach (var parameter in sliders)
        {
            GUILayout.Label(parameter.Label);
            var before = positions[parameter.Name];
            var now = GUILayout.HorizontalSlider(before, (float)parameter.Min.Value, (float)parameter.Max.Value);
            if (now == before || connection.Client == null) continue;
            positions[parameter.Name] = now;
            values.Clear();
            connection.Client.Set(stream, values.Set(parameter.Name, now));
        }
        if (GUILayout.Button("Panic") && connection.Client != null) connection.Client.Panic();
        if (GUILayout.Button("Resume") && connection.Client != null) Resume();
    }

    void Resume()
    {
        connection.Client.Resume();
        connection.Client.Live(stream, true);
    }
}
