using TexBridge;
using UnityEngine;

/// <summary>What a camera sees goes to the workflow `camera_blend`, and what comes back is on a quad beside it. Put it on an
/// empty GameObject of an empty scene and press Play. With ComfyUI and the model of `img2img_turbo`, name that workflow.</summary>
public sealed class CameraImg2Img : MonoBehaviour
{
    [SerializeField] string address = "127.0.0.1:9402";
    [SerializeField] string stream = "unity_camera";
    [SerializeField] string workflow = "camera_blend";
    [SerializeField] string parameter = "camera";

    Transform turning;

    void Start()
    {
        var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
        connection.Address = address;

        turning = GameObject.CreatePrimitive(PrimitiveType.Cube).transform;
        turning.position = new Vector3(0, 100, 0); // far from what the main camera sees
        var eye = new GameObject("Eye").AddComponent<Camera>();
        eye.transform.position = new Vector3(0, 100, -2);
        eye.targetTexture = new RenderTexture(512, 512, 24);
        var sending = eye.gameObject.AddComponent<TexBridgeCamera>();
        sending.Source = eye.targetTexture;
        sending.Stream = stream;
        sending.Parameter = parameter;

        var camera = Camera.main;
        if (camera == null) camera = new GameObject("Camera").AddComponent<Camera>();
        camera.transform.position = new Vector3(0, 0, -2);
        Quad("Sent", -0.55f).material.mainTexture = eye.targetTexture;
        var target = Quad("Made", 0.55f);
        var texture = target.gameObject.AddComponent<TexBridgeTexture>();
        texture.Stream = stream;
        texture.Workflow = workflow;
        texture.Target = target;
    }

    void Update()
    {
        turning.Rotate(20 * Time.deltaTime, 30 * Time.deltaTime, 0);
    }

    static Renderer Quad(string name, float x)
    {
        var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
        quad.name = name;
        quad.transform.position = new Vector3(x, 0, 0);
        var surface = quad.GetComponent<Renderer>();
        surface.material = PictureMaterial.New();
        return surface;
    }
}
