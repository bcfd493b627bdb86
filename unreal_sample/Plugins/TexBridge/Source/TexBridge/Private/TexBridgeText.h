// Text between the engine and the core.
#pragma once

#include "Containers/StringConv.h"
#include "Containers/UnrealString.h"

#include <string>

namespace texbridge
{
	inline std::string ToCore(const FString& Text)
	{
		const FTCHARToUTF8 Utf8(*Text);
		return std::string(reinterpret_cast<const char*>(Utf8.Get()), static_cast<size_t>(Utf8.Length()));
	}

	inline FString ToEngine(const std::string& Text)
	{
		return FString(UTF8_TO_TCHAR(Text.c_str()));
	}
}
