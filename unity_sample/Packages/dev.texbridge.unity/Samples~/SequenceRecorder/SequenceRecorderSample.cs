using System.IO;
using TexBridge;
using UnityEngine;

/// <summary>A keyed sequence on a quad, each picture in its own frame, and each frame of the game saved as a PNG. Put it on an
/// empty GameObject of an empty scene and press Play.</summary>
public sealed class SequenceRecorderSample : MonoBehaviour
{
    [SerializeField] string address = "127.0.0.1:9402";
    [SerializeField] int frames = 48;

    [Tooltip("Where the game's frames are saved, in the project's folder; empty: nowhere, as with Unity Recorder")]
    [SerializeField] string folder = "Recordings";

    string shown = "waiting for the first frame";

    void Start()
    {
        var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
        connection.Address = address;

        var camera = Camera.main;
        if (camera == null) camera = new GameObject("Camera").AddComponent<Camera>();
        camera.transform.position = new Vector3(0, 0, -1.2f);
        var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
        quad.GetComponent<Renderer>().material = PictureMaterial.New();
        var texture = quad.AddComponent<TexBridgeTexture>();
        texture.Stream = "unity_shot";
        texture.Workflow = "gradient";
        texture.Mode = "oneshot";
        texture.SetSize(512, 512);

        var recorder = quad.AddComponent<TexBridgeRecorder>();
        recorder.Frames = frames;
        recorder.FramesPerSecond = 24;
        recorder.Seed = 7;
        var last = frames - 1;
        recorder.Tracks
            .Set("top_left", 0, "#ff6040").Set("top_left", last / 2, "#ffd060", "smoothstep")
            .Set("top_left", last, "#4060ff", "cubic_in_out")
            .Set("bottom_right", 0, ParameterValue.Numbers(0.1, 0.1, 0.3))
            .Set("bottom_right", last, ParameterValue.Numbers(0.0, 0.8, 0.7), Easing.Bezier(0.4, 0, 0.2, 1))
            .Set("noise", last / 3, 0.0).Set("noise", last, 0.35, "cubic_in");
        recorder.FrameShown += Save;
        recorder.Ended += answer =>
            shown = answer == null ? "done" : answer.Outcome + ": " + answer.Frames + " frames, seed " + answer.Seed;
        recorder.Failed += error => shown = error.Message;
        if (folder.Length > 0) Directory.CreateDirectory(folder);
    }

    // The picture is taken at the end of this frame: the quad has the picture of this index then.
    void Save(int index)
    {
        shown = "frame " + (index + 1) + " of " + frames;
        if (folder.Length > 0) ScreenCapture.CaptureScreenshot(Path.Combine(folder, index.ToString("0000") + ".png"));
    }

    void OnGUI()
    {
        if (folder.Length == 0 || shown.Contains(":")) GUILayout.Label(shown); // else it would be in the pictures
    }
}
