using UnityEditor;

namespace TexBridge.Editor
{
    /// <summary>Closes sockets and threads before the editor throws the scripts away: they would outlive them.</summary>
    [InitializeOnLoad]
    static class ReloadGuard
    {
        static ReloadGuard()
        {
            AssemblyReloadEvents.beforeAssemblyReload += TexBridgeConnection.CloseAll;
            EditorApplication.quitting += TexBridgeConnection.CloseAll;
        }
    }
}
