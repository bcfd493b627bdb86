using TexBridge;
using UnityEngine;

/// <summary>Press Play in any scene of this project that has no connection of its own: the bridge's stream `main` is on a quad
/// before the camera. Nothing has to be set up for it, and nothing is saved.</summary>
public static class PlayDemo
{
    [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.AfterSceneLoad)]
    static void Build()
    {
        if (TexBridgeConnection.First != null) return;
        // A sample on some object makes its own connection when it starts: leave the scene to it.
        foreach (var script in Object.FindObjectsOfType<MonoBehaviour>())
            if (script.GetType().Assembly == typeof(PlayDemo).Assembly) return;
        new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
        var camera = Camera.main;
        if (camera == null) camera = new GameObject("Camera").AddComponent<Camera>();
        camera.transform.position = new Vector3(0, 0, -1.2f);
        var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
        var surface = quad.GetComponent<Renderer>();
        surface.material = PictureMaterial.New();
        quad.AddComponent<TexBridgeTexture>().Target = surface;
    }
}
