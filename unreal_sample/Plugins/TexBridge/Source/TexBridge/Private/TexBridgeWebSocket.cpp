#include "TexBridgeWebSocket.h"

#include "IWebSocket.h"
#include "Modules/ModuleManager.h"
#include "TexBridgeText.h"
#include "WebSocketsModule.h"

using namespace texbridge;

FTexBridgeWebSocket::FTexBridgeWebSocket(std::shared_ptr<texbridge::Session> InSession, const FString& InUrl)
	: Session(std::move(InSession))
	, Url(InUrl)
	, Fragments(Session->Options().max_total_bytes, Session->GetPool().get())
	, Backoff(std::chrono::milliseconds(50), std::chrono::milliseconds(2000), static_cast<uint32_t>(FPlatformTime::Cycles()))
	, RetryAt(Clock::now())
{
}

FTexBridgeWebSocket::~FTexBridgeWebSocket()
{
	if (Socket.IsValid())
	{
		Socket->OnConnected().Clear();
		Socket->OnConnectionError().Clear();
		Socket->OnClosed().Clear();
		Socket->OnBinaryMessage().Clear();
		Socket->Close();
	}
	if (bIsOpen)
	{
		Session->LinkEnded(Fault(kLinkLost, "stopped"));
	}
}

void FTexBridgeWebSocket::Connect()
{
	bIsConnecting = true;
	Fragments = FragmentAssembler(Session->Options().max_total_bytes, Session->GetPool().get());
	Socket = FModuleManager::LoadModuleChecked<FWebSocketsModule>(TEXT("WebSockets")).CreateWebSocket(Url, TEXT("texbridge.v1"));
	Socket->OnConnected().AddLambda([this]()
	{
		bIsConnecting = false;
		bIsOpen = true;
		Session->LinkOpened();
	});
	Socket->OnConnectionError().AddLambda([this](const FString& Error) { Ended(Fault(kLinkLost, ToCore(Error))); });
	Socket->OnClosed().AddLambda([this](int32 Code, const FString& Reason, bool)
	{
		// 4000 + an error's number, or WebSocket's own.
		Ended(Fault(static_cast<uint16_t>(Code > 4000 ? Code - 4000 : kLinkLost), ToCore(Reason)));
	});
	Socket->OnBinaryMessage().AddLambda([this](const void* Data, SIZE_T Size, bool bIsLastFragment)
	{
		Received(Data, Size, bIsLastFragment);
	});
	Socket->Connect();
}

void FTexBridgeWebSocket::Ended(const Fault& Why)
{
	bIsConnecting = false;
	if (bIsOpen)
	{
		bIsOpen = false;
		Session->LinkEnded(Why);
	}
	RetryAt = Clock::now() + Backoff.Next();
}

void FTexBridgeWebSocket::Received(const void* Data, SIZE_T Size, bool bIsLastFragment)
{
	Session->Heard();
	Buffer Message;
	bool bIsWhole = false;
	Fault Wrong = Fragments.Feed(ByteView(Data, Size), bIsLastFragment, Message, bIsWhole);
	if (!Wrong && bIsWhole)
	{
		Wrong = Session->MessageCame(std::move(Message));
	}
	if (Session->IsConnected())
	{
		Backoff.Reset();
	}
	if (Wrong)
	{
		Ended(Wrong);
		Socket->Close();
	}
}

void FTexBridgeWebSocket::Tick()
{
	if (Fault Wrong = Session->Watch(Clock::now()))
	{
		Ended(Wrong);
		Socket->Close();
	}
	if (bIsOpen)
	{
		for (std::vector<uint8_t> Message; Session->GetOutbox()->Take(Message);)
		{
			Socket->Send(Message.data(), static_cast<SIZE_T>(Message.size()), true);
		}
	}
	else if (!bIsConnecting && Session->WantsLink() && Clock::now() >= RetryAt)
	{
		Connect();
	}
}
