#include "TexBridgeSubsystem.h"

#include "Core/TcpClient.h"
#include "TexBridgeColor.h"
#include "TexBridgeText.h"
#include "TexBridgeWebSocket.h"

#include "Misc/EngineVersion.h"

DEFINE_LOG_CATEGORY_STATIC(LogTexBridge, Log, All);

using namespace texbridge;

UTexBridgeSubsystem::UTexBridgeSubsystem() = default;
UTexBridgeSubsystem::~UTexBridgeSubsystem() = default;

void UTexBridgeSubsystem::Connect(const FString& Address, const FString& Token, bool bSharedMemory)
{
	Disconnect();
	SessionOptions Options;
	Options.client = ToCore(FString::Printf(TEXT("texbridge-unreal 0.1.0 (Unreal %s)"), *FEngineVersion::Current().ToString()));
	Options.token = ToCore(Token);
	Options.shared_memory = bSharedMemory;
	Session = std::make_shared<texbridge::Session>(Options);
	if (Address.StartsWith(TEXT("ws")) && Address.Contains(TEXT("://")))
	{
		WebSocket = std::make_unique<FTexBridgeWebSocket>(Session, Address);
		return;
	}
	FString Host, Port;
	TcpOptions Where;
	if (Address.Split(TEXT(":"), &Host, &Port, ESearchCase::CaseSensitive, ESearchDir::FromEnd))
	{
		Where.host = ToCore(Host);
		Where.port = static_cast<uint16_t>(FCString::Atoi(*Port));
	}
	else
	{
		Where.host = ToCore(Address);
	}
	Tcp = std::make_unique<TcpClient>(Session, Where);
	Tcp->Start();
}

void UTexBridgeSubsystem::Disconnect()
{
	// Transports first: they tell the session of their end.
	Tcp.reset();
	WebSocket.reset();
	Session.reset();
}

void UTexBridgeSubsystem::Deinitialize()
{
	Disconnect();
	Super::Deinitialize();
}

bool UTexBridgeSubsystem::IsConnected() const
{
	return Session && Session->IsConnected();
}

TArray<FString> UTexBridgeSubsystem::GetWorkflows() const
{
	TArray<FString> Names;
	if (Session)
	{
		const Value Welcome = Session->Welcome();
		for (const Value& Workflow : Welcome["workflows"].Items())
		{
			Names.Add(ToEngine(Workflow["name"].AsText()));
		}
	}
	return Names;
}

void UTexBridgeSubsystem::SetValue(const FString& Stream, const FString& Parameter, const Value& NewValue)
{
	if (Session)
	{
		Session->Set(ToCore(Stream), Value::Map({{ToCore(Parameter), NewValue}}));
	}
}

void UTexBridgeSubsystem::SetNumber(const FString& Stream, const FString& Parameter, double NewValue)
{
	SetValue(Stream, Parameter, NewValue);
}

void UTexBridgeSubsystem::SetInteger(const FString& Stream, const FString& Parameter, int64 NewValue)
{
	SetValue(Stream, Parameter, static_cast<long long>(NewValue));
}

void UTexBridgeSubsystem::SetBool(const FString& Stream, const FString& Parameter, bool bValue)
{
	SetValue(Stream, Parameter, bValue);
}

void UTexBridgeSubsystem::SetText(const FString& Stream, const FString& Parameter, const FString& NewValue)
{
	SetValue(Stream, Parameter, ToCore(NewValue));
}

void UTexBridgeSubsystem::SetColor(const FString& Stream, const FString& Parameter, FLinearColor NewValue)
{
	SetValue(Stream, Parameter, ColorValue(NewValue));
}

void UTexBridgeSubsystem::Run(const FString& Stream)
{
	if (Session)
	{
		Session->Ask(ToCore(Stream), RunOptions());
	}
}

void UTexBridgeSubsystem::SetLive(const FString& Stream, bool bOn, float FadeSeconds)
{
	if (Session)
	{
		Session->Live(ToCore(Stream), bOn, FadeSeconds);
	}
}

void UTexBridgeSubsystem::Switch(const char* Op, const FString& Stream, bool bOn, float FadeSeconds)
{
	if (Session)
	{
		Session->Send(Value::Map({{"op", Op}, {"stream", ToCore(Stream)}, {"on", bOn}, {"fade_s", FMath::Max(FadeSeconds, 0.0f)}}));
	}
}

void UTexBridgeSubsystem::SetFreeze(const FString& Stream, bool bOn, float FadeSeconds)
{
	Switch("freeze", Stream, bOn, FadeSeconds);
}

void UTexBridgeSubsystem::SetBlackout(const FString& Stream, bool bOn, float FadeSeconds)
{
	Switch("blackout", Stream, bOn, FadeSeconds);
}

void UTexBridgeSubsystem::Panic()
{
	if (Session)
	{
		Session->Send(Value::Map({{"op", "panic"}}));
	}
}

void UTexBridgeSubsystem::Resume()
{
	if (Session)
	{
		Session->Send(Value::Map({{"op", "resume"}}));
	}
}

ETickableTickType UTexBridgeSubsystem::GetTickableTickType() const
{
	return IsTemplate() ? ETickableTickType::Never : ETickableTickType::Conditional;
}

TStatId UTexBridgeSubsystem::GetStatId() const
{
	RETURN_QUICK_DECLARE_CYCLE_STAT(UTexBridgeSubsystem, STATGROUP_Tickables);
}

void UTexBridgeSubsystem::Tick(float)
{
	if (WebSocket)
	{
		WebSocket->Tick();
	}
	for (const Event& Happened : Session->TakeEvents())
	{
		const FString Stream = ToEngine(Happened.stream);
		const FString Message = ToEngine(Happened.fault.message);
		switch (Happened.kind)
		{
		case Event::Kind::kConnected:
			OnLinkChanged.Broadcast(true, ToEngine(Happened.body["server"].AsText()));
			break;
		case Event::Kind::kDisconnected:
		case Event::Kind::kFailed:
			UE_LOG(LogTexBridge, Warning, TEXT("no link: %s"), *Message);
			OnLinkChanged.Broadcast(false, Message);
			break;
		case Event::Kind::kFinished:
			OnFinished.Broadcast(Stream, ToEngine(Happened.body["outcome"].AsText()), static_cast<int32>(Happened.body["number"].AsUint()), ToEngine(Happened.body["message"].AsText()));
			break;
		case Event::Kind::kProgress:
			OnProgress.Broadcast(static_cast<float>(Happened.body["value"].AsNumber()), static_cast<float>(Happened.body["max"].AsNumber()), ToEngine(Happened.body["node"].AsText()));
			break;
		case Event::Kind::kRefused:
		case Event::Kind::kTold:
			UE_LOG(LogTexBridge, Warning, TEXT("%s: %s"), *Stream, *Message);
			OnError.Broadcast(Stream, Happened.fault.code, Message);
			break;
		default:
			break;
		}
		if (!Session) // a handler has ended the link
		{
			return;
		}
	}
}
