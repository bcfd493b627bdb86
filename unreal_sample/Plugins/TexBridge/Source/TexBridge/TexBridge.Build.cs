using UnrealBuildTool;

public class TexBridge : ModuleRules
{
	public TexBridge(ReadOnlyTargetRules Target) : base(Target)
	{
		// Core/ is plain C++17 that includes the system's own headers: each file is compiled alone, without the engine's.
		PCHUsage = PCHUsageMode.NoPCHs;
		bUseUnity = false;

		PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine" });
		PrivateDependencyModuleNames.AddRange(new string[] { "RHI", "RenderCore", "WebSockets" });

		if (Target.Platform == UnrealTargetPlatform.Win64)
		{
			PublicSystemLibraries.Add("ws2_32.lib");
		}
	}
}
