using TexBridge;
using UnityEngine;

/// <summary>The bridge's test card: upside down, mirrored, red and blue swapped or the wrong colour space are seen at once.
/// Put it on an empty GameObject of an empty scene and press Play.</summary>
public sealed class TestCardSample : MonoBehaviour
{
    [SerializeField] string address = "127.0.0.1:9402";
    [SerializeField] PixelFormat format = PixelFormat.Rgba8;

    void Start()
    {
        var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
        connection.Address = address;
        var camera = Camera.main;
        if (camera == null) camera = new GameObject("Camera").AddComponent<Camera>();
        camera.transform.position = new Vector3(0, 0, -1.2f);
        var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
        var surface = quad.GetComponent<Renderer>();
        surface.material = PictureMaterial.New();
        var texture = quad.AddComponent<TexBridgeTexture>();
        texture.Stream = "unity_card";
        texture.Workflow = "test_card";
        texture.Format = format;
        texture.Target = surface;
    }
}
